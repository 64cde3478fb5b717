import Type from 'typebox';
import { ArtifactRef, Name, Sha256, Uuid, WireError } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

export const DatasetVersionReady = defineEvent({
  name: 'dataset.version-ready',
  doc: 'A dataset version has all its files and its digest and can be trained on.',
  data: Type.Object({
    datasetId: Uuid,
    versionId: Uuid,
    name: Name,
    ordinal: Type.Integer({ minimum: 1 }),
    digest: Sha256,
    files: Type.Array(ArtifactRef),
    /** The request that asked for it (a pipeline id), if one did. */
    requestId: Type.Optional(Uuid),
    isReused: Type.Boolean(),
  }),
});

export const DatasetVersionFailed = defineEvent({
  name: 'dataset.version-failed',
  doc: 'A dataset version could not be made.',
  data: Type.Object({ datasetId: Uuid, versionId: Uuid, requestId: Type.Optional(Uuid), error: WireError }),
});
