import type { Static } from 'typebox';
import Type from 'typebox';
import { ArtifactRef, Name, Sha256, Uuid, WireError } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

export const Stage = Type.Union([
  Type.Literal('development'),
  Type.Literal('staging'),
  Type.Literal('production'),
  Type.Literal('archived'),
]);
export type Stage = Static<typeof Stage>;

const version = {
  modelVersionId: Uuid,
  modelId: Uuid,
  model: Name,
  version: Type.String(),
  ordinal: Type.Integer({ minimum: 1 }),
};

export const ModelVersionRegistered = defineEvent({
  name: 'model-version.registered',
  doc: 'A model version was verified, signed and registered (or an identical one was reused).',
  data: Type.Object({
    ...version,
    stage: Stage,
    packageDigest: Sha256,
    modelDigest: Sha256,
    files: Type.Array(ArtifactRef),
    requestId: Type.Optional(Uuid),
    isReused: Type.Boolean(),
  }),
});

export const ModelVersionRejected = defineEvent({
  name: 'model-version.rejected',
  doc: 'A package was refused at registration or at load; the error says why.',
  data: Type.Object({
    model: Name,
    version: Type.Optional(Type.String()),
    modelVersionId: Type.Optional(Uuid),
    requestId: Type.Optional(Uuid),
    where: Type.Union([Type.Literal('registration'), Type.Literal('load')]),
    error: WireError,
  }),
});

export const ModelVersionStageChanged = defineEvent({
  name: 'model-version.stage-changed',
  doc: 'A model version moved to another stage.',
  data: Type.Object({ ...version, from: Stage, to: Stage, by: Type.String() }),
});

export const ModelVersionLoaded = defineEvent({
  name: 'model-version.loaded',
  doc: 'Inference verified, loaded and warmed a model version: it answers from now on.',
  data: Type.Object({
    ...version,
    packageDigest: Sha256,
    requestId: Type.Optional(Uuid),
    loadMs: Type.Number({ minimum: 0 }),
    warmUpMs: Type.Number({ minimum: 0 }),
  }),
});

export const ModelVersionLoadFailed = defineEvent({
  name: 'model-version.load-failed',
  doc: 'Inference refused or failed to load a model version.',
  data: Type.Object({ ...version, requestId: Type.Optional(Uuid), error: WireError }),
});
