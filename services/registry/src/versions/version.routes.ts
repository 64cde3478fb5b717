import { ArtifactRef, JsonObject, Stage } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import { blobKey } from '@millrace/storage';
import Type from 'typebox';
import type { VersionRepository } from './version.repository.ts';
import type { VersionService } from './version.service.ts';
import { toVersionDetail, toVersionSummary, VersionDetail, VersionSummary } from './version.view.ts';

const PATH = '/v1/models/:name/versions';
const ModelParams = Type.Object({ name: Type.String() });
const VersionParams = Type.Object({ name: Type.String(), version: Type.String() });
const tags = ['models'];
const read = { scope: 'models:read' } as const;
const write = { scope: 'models:write' } as const;

const BundleParts = Type.Object({
  model: Type.String(),
  version: Type.String(),
  packageDigest: Type.String(),
  manifest: Type.Object({ files: Type.Array(ArtifactRef) }),
  signature: JsonObject,
  publicKeyPem: Type.String({
    description: 'The key the registry signs with now; pin it, do not trust it from here.',
  }),
  attestations: Type.Array(Type.Object({ predicateType: Type.String(), bundle: JsonObject })),
  files: Type.Array(Type.Object({ ...ArtifactRef.properties, url: Type.String() })),
});
const Verification = Type.Object({
  verified: Type.Literal(true),
  files: Type.Integer(),
  sizeBytes: Type.Integer(),
  keyId: Type.String(),
  rootDigest: Type.String(),
});

export type VersionRoutesOptions = {
  database: Database;
  repository: VersionRepository;
  versions: VersionService;
  storage: Storage;
  publicKeyPem: string;
};

/** Versions of a model: list, read, move between stages, verify, and the parts that let anybody verify. */
export function versionRoutes(options: VersionRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, repository, versions } = options;
  return async function registerVersionRoutes(app) {
    app.get(
      PATH,
      {
        config: read,
        schema: {
          operationId: 'listModelVersions',
          tags,
          params: ModelParams,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(VersionSummary) },
        },
      },
      async (request) => {
        const model = await versions.model(request.principal.tenant, request.params.name);
        const { limit, cursor } = request.query;
        const after = decodeCursor(Type.Object({ ordinal: Type.Integer() }), cursor);
        const rows = await repository.list(database.db, model.id, {
          limit: limit + 1,
          ...(after === undefined ? {} : { belowOrdinal: after.ordinal }),
        });
        return toPage(rows, limit, (row) => ({ ordinal: row.ordinal }), toVersionSummary);
      },
    );

    app.get(
      `${PATH}/:version`,
      {
        config: read,
        schema: {
          operationId: 'getModelVersion',
          tags,
          params: VersionParams,
          response: { 200: VersionDetail },
        },
      },
      async ({ principal, params }) =>
        toVersionDetail(await versions.find(principal.tenant, params.name, params.version)),
    );

    app.post(
      `${PATH}/:version/stage`,
      {
        config: write,
        schema: {
          operationId: 'setModelVersionStage',
          tags,
          params: VersionParams,
          body: Type.Object({ stage: Stage }, { additionalProperties: false }),
          response: { 200: VersionDetail },
        },
      },
      async ({ principal, params, body }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        await versions.setStage(found, body.stage, principal.id);
        return toVersionDetail(await versions.findById(found.version.id));
      },
    );

    app.post(
      `${PATH}/:version/verify`,
      {
        config: read,
        schema: {
          operationId: 'verifyModelVersion',
          tags,
          params: VersionParams,
          response: { 200: Verification },
        },
      },
      async ({ principal, params }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        const result = await versions.verify(found);
        return { verified: true as const, files: found.package.manifest.files.length, ...result };
      },
    );

    app.get(
      `${PATH}/:version/bundle-parts`,
      {
        config: read,
        schema: {
          operationId: 'getBundleParts',
          tags,
          params: VersionParams,
          response: { 200: BundleParts },
        },
      },
      async ({ principal, params }) => {
        const found = await versions.find(principal.tenant, params.name, params.version);
        const { manifest, signature, packageDigest } = found.package;
        const attestations = await repository.attestations(database.db, found.version.id);
        const asJson = (bundle: unknown) => bundle as Record<string, unknown>;
        return {
          model: found.model.name,
          version: found.version.label,
          packageDigest,
          manifest: { files: [...manifest.files] },
          signature: asJson(signature),
          publicKeyPem: options.publicKeyPem,
          attestations: attestations.map(({ predicateType, bundle }) => ({
            predicateType,
            bundle: asJson(bundle),
          })),
          files: await Promise.all(
            manifest.files.map(async (file) => ({
              ...file,
              url: await options.storage.presignGet(blobKey(file.sha256)),
            })),
          ),
        };
      },
    );
  };
}
