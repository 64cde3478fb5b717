import Type from 'typebox';
import { ConvertSpec } from '../jobs/specs.ts';
import { Uuid, WireError } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

export const ModelImportConversionRequested = defineEvent({
  name: 'model-import.conversion-requested',
  doc: 'An upload is to be converted before it becomes a model version.',
  data: Type.Object({ importId: Uuid, tenant: Type.String(), spec: ConvertSpec }),
});

export const ModelImportAbandoned = defineEvent({
  name: 'model-import.abandoned',
  doc: 'Nobody waits for the conversion of an upload any more: the import was cancelled, or its time is over.',
  data: Type.Object({
    importId: Uuid,
    tenant: Type.String(),
    error: WireError,
  }),
});
