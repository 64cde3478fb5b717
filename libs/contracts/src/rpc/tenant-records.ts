import type { Static } from 'typebox';
import Type from 'typebox';
import { Sha256 } from '../primitives.ts';

/** Digests in one question: as many as the files of one source. */
export const OWNED_DIGESTS_MAX = 500;

/** `millrace.rpc.<service>.owned-digests`: which of these files does the service keep for the tenant? */
export const ownedDigestsMethod = {
  request: Type.Object({
    tenant: Type.String(),
    digests: Type.Array(Sha256, { maxItems: OWNED_DIGESTS_MAX }),
  }),
  reply: Type.Object({ owned: Type.Array(Sha256) }),
};

/** Bounds of a tenant on what is kept for it; each service counts what it keeps itself. What is absent has none. */
export const TenantQuota = Type.Object(
  {
    models: Type.Optional(Type.Integer({ minimum: 0, description: 'Models that are not deleted.' })),
    modelBytes: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Files of model versions, each digest once.' }),
    ),
    artifactBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Artifacts of MLflow runs.' })),
    datasetBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Files of dataset versions.' })),
    openJobs: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Open jobs of each kind: pipelines, trainings, conversions, batches.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type TenantQuota = Static<typeof TenantQuota>;
/** What of a tenant is counted, and may be bounded. */
export type TenantCount = keyof TenantQuota;

/** Jobs that have not ended, by kind. */
export const OpenJobs = Type.Record(Type.String(), Type.Integer({ minimum: 0 }));

/** `millrace.rpc.<service>.tenant-usage`: what does the service keep for the tenant? */
export const tenantUsageMethod = {
  request: Type.Object({ tenant: Type.String() }),
  reply: Type.Object({
    models: Type.Optional(Type.Integer()),
    modelBytes: Type.Optional(Type.Integer()),
    artifactBytes: Type.Optional(Type.Integer()),
    datasetBytes: Type.Optional(Type.Integer()),
    openJobs: Type.Optional(OpenJobs),
  }),
};
export type TenantUsage = Static<typeof tenantUsageMethod.reply>;
