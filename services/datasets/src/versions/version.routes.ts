import type { Readable } from 'node:stream';
import { AppError, JsonObject, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import { DatasetVersionView, toVersionView } from '../datasets/dataset.view.ts';
import { readUpload } from './upload.ts';
import type { VersionService } from './version.service.ts';

const tags = ['datasets'];
const DatasetParams = Type.Object({ datasetId: Uuid });
const VersionParams = Type.Object({ datasetId: Uuid, versionId: Uuid });

export type VersionRoutesOptions = {
  database: Database;
  datasets: DatasetRepository;
  versions: VersionService;
  storeBlob: (file: Readable) => Promise<{ sha256: string; sizeBytes: number }>;
  presign: (sha256: string) => Promise<string>;
};

/** Make (by generator or upload), list, read and download dataset versions. */
export function versionRoutes(options: VersionRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, datasets, versions } = options;

  async function assertDataset(tenant: string, datasetId: string) {
    const dataset = await datasets.find(database.db, tenant, datasetId);
    if (dataset === undefined) throw new AppError('dataset_not_found', `There is no dataset ${datasetId}.`);
    return dataset;
  }

  async function findVersion(tenant: string, params: { datasetId: string; versionId: string }) {
    await assertDataset(tenant, params.datasetId);
    const found = await datasets.findVersion(database.db, params.versionId);
    if (found === undefined || found.dataset.id !== params.datasetId) {
      throw new AppError(
        'dataset_version_not_found',
        `Dataset ${params.datasetId} has no version ${params.versionId}.`,
      );
    }
    return found.version;
  }

  return async function registerVersionRoutes(app) {
    app.post(
      '/v1/datasets/:datasetId/versions',
      {
        config: { scope: 'data:write' },
        schema: {
          operationId: 'generateDatasetVersion',
          tags,
          params: DatasetParams,
          body: Type.Object(
            {
              generator: Type.Object(
                { recipe: Type.String({ minLength: 1, maxLength: 64 }), params: Type.Optional(JsonObject) },
                { additionalProperties: false },
              ),
            },
            { additionalProperties: false },
          ),
          response: { 200: DatasetVersionView, 202: DatasetVersionView },
        },
      },
      async (request, reply) => {
        const { tenant } = request.principal;
        const dataset = await assertDataset(tenant, request.params.datasetId);
        const { recipe, params = {} } = request.body.generator;
        const made = await database.transaction((tx) =>
          versions.generate(tx, { tenant, name: dataset.name, recipe, params }),
        );
        return reply.code(made.isReused ? 200 : 202).send(toVersionView(made.version));
      },
    );

    await app.register(async (uploads: HttpApp) => {
      // the body is a stream that the route reads; Fastify must not touch it, whatever it says to be
      uploads.removeAllContentTypeParsers();
      uploads.addContentTypeParser('*', (_request, _payload, done) => done(null));
      uploads.post(
        '/v1/datasets/:datasetId/files',
        {
          config: { scope: 'data:write' },
          bodyLimit: Number.MAX_SAFE_INTEGER,
          schema: {
            operationId: 'uploadDatasetVersion',
            tags,
            params: DatasetParams,
            response: { 200: DatasetVersionView, 201: DatasetVersionView },
          },
        },
        async (request, reply) => {
          const { tenant } = request.principal;
          await assertDataset(tenant, request.params.datasetId);
          const files = await readUpload(request.raw, options.storeBlob);
          const made = await versions.upload(tenant, request.params.datasetId, files);
          return reply.code(made.isReused ? 200 : 201).send(toVersionView(made.version));
        },
      );
    });

    app.get(
      '/v1/datasets/:datasetId/versions',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'listDatasetVersions',
          tags,
          params: DatasetParams,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(DatasetVersionView) },
        },
      },
      async (request) => {
        await assertDataset(request.principal.tenant, request.params.datasetId);
        const { limit, cursor } = request.query;
        const after = decodeCursor(Type.Object({ ordinal: Type.Integer() }), cursor);
        const rows = await datasets.versions(database.db, request.params.datasetId, {
          limit: limit + 1,
          ...(after === undefined ? {} : { belowOrdinal: after.ordinal }),
        });
        return toPage(rows, limit, (row) => ({ ordinal: row.ordinal }), toVersionView);
      },
    );

    app.get(
      '/v1/datasets/:datasetId/versions/:versionId',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'getDatasetVersion',
          tags,
          params: VersionParams,
          response: { 200: DatasetVersionView },
        },
      },
      async (request) => toVersionView(await findVersion(request.principal.tenant, request.params)),
    );

    app.get(
      '/v1/datasets/:datasetId/versions/:versionId/downloads',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'getDatasetVersionDownloads',
          tags,
          params: VersionParams,
          response: {
            200: Type.Object({
              files: Type.Array(
                Type.Object({ path: Type.String(), sha256: Type.String(), url: Type.String() }),
              ),
            }),
          },
        },
      },
      async (request) => {
        const version = await findVersion(request.principal.tenant, request.params);
        if (version.files === null)
          throw new AppError('dataset_not_ready', `The version is ${version.state}.`);
        const files = await Promise.all(
          version.files.map(async ({ path, sha256 }) => ({
            path,
            sha256,
            url: await options.presign(sha256),
          })),
        );
        return { files };
      },
    );
  };
}
