import Type from 'typebox';
import { Name, Sha256, Timestamp, Uuid, WireError } from '../primitives.ts';
import { defineEvent } from './define-event.ts';
import { Stage } from './model-version.ts';

export const HistoryAdvanced = defineEvent({
  name: 'history.advanced',
  doc: 'A history got a row: who keeps `head` notices one cut short or rewritten.',
  data: Type.Object({
    /** Id of the model, or of the tenant's own chain. */
    chainId: Uuid,
    /** Absent for changes of a tenant. */
    model: Type.Optional(Name),
    seq: Type.Integer({ minimum: 1 }),
    prevHash: Sha256,
    head: Sha256,
    at: Timestamp,
    action: Type.String(),
    by: Type.String(),
    modelVersionId: Type.Optional(Uuid),
    version: Type.Optional(Type.String()),
  }),
});

export const ModelVersionRefused = defineEvent({
  name: 'model-version.refused',
  doc: 'Policy kept a version from serving or moving; at most once a minute for each version, place and reason.',
  data: Type.Object({
    modelVersionId: Uuid,
    modelId: Uuid,
    model: Name,
    version: Type.String(),
    stage: Stage,
    packageDigest: Sha256,
    where: Type.Union([Type.Literal('serving'), Type.Literal('stage'), Type.Literal('alias')]),
    error: WireError,
  }),
});
