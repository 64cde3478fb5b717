import { AppError, Name } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import { findReadyVersion } from '../datasets/find-dataset.ts';
import type { VersionCsv } from './version-csv.ts';

const SCHEMA_BYTES_MAX = 64 * 1024 * 1024;
const SCHEMA_FILE = 'schema.json';

export type DatasetApiOptions = {
  database: Database;
  datasets: DatasetRepository;
  csvOf: VersionCsv;
  readBlob: (sha256: string, maxBytes: number) => Promise<Buffer>;
};

/**
 * `GET /datasets/{id}/download` and `…/schema`: the rows of a version as one CSV file, and its schema. `id` is an id or
 * a name; without `?version=` the newest version that is ready is given.
 */
export function datasetApiRoutes(options: DatasetApiOptions): (app: HttpApp) => Promise<void> {
  const { database, datasets, csvOf, readBlob } = options;
  const schema = {
    tags: ['datasets'],
    params: Type.Object({ datasetId: Name }),
    querystring: Type.Object(
      { version: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647 })) },
      { additionalProperties: false },
    ),
  };

  async function readyVersion(tenant: string, datasetId: string, ordinal: number | undefined) {
    return (await findReadyVersion(database.db, datasets, { tenant, dataset: datasetId, ordinal })).version;
  }

  return async function registerDatasetApiRoutes(app) {
    app.get(
      '/datasets/:datasetId/download',
      { config: { scope: 'data:read' }, schema: { operationId: 'downloadDataset', ...schema } },
      async (request, reply) => {
        const { tenant } = request.principal;
        const version = await readyVersion(tenant, request.params.datasetId, request.query.version);
        const { body, sizeBytes } = await csvOf(version);
        if (sizeBytes !== undefined) void reply.header('content-length', sizeBytes);
        return reply
          .header('etag', `"${version.digest}"`)
          .header('content-disposition', 'attachment; filename="dataset.csv"')
          .header('x-content-type-options', 'nosniff')
          .type('text/csv; charset=utf-8')
          .send(body);
      },
    );

    app.get(
      '/datasets/:datasetId/schema',
      { config: { scope: 'data:read' }, schema: { operationId: 'getDatasetSchema', ...schema } },
      async (request, reply) => {
        const { tenant } = request.principal;
        const version = await readyVersion(tenant, request.params.datasetId, request.query.version);
        const file = version.files?.find(({ path }) => path === SCHEMA_FILE);
        if (file === undefined)
          throw new AppError(
            'dataset_not_tabular',
            `Version ${version.ordinal} has no ${SCHEMA_FILE}; upload one beside the data, or ingest the version.`,
          );
        return reply
          .header('etag', `"${version.digest}"`)
          .type('application/json')
          .send(await readBlob(file.sha256, SCHEMA_BYTES_MAX));
      },
    );
  };
}
