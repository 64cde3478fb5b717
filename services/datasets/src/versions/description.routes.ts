import { AppError, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';

const tags = ['datasets'];
/** Bytes of a schema or report; a report lists at most 100 rows of each finding. */
const DESCRIPTION_BYTES_MAX = 64 * 1024 * 1024;

export type DescriptionRoutesOptions = {
  database: Database;
  datasets: DatasetRepository;
  readBlob: (sha256: string, maxBytes: number) => Promise<Buffer>;
};

/** What an ingestion says of a version: its schema, and its quality report as JSON or as a page. */
export function descriptionRoutes(options: DescriptionRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, datasets, readBlob } = options;
  const params = Type.Object({ datasetId: Uuid, versionId: Uuid });

  async function file(tenant: string, ids: { datasetId: string; versionId: string }, path: string) {
    const found = await datasets.findVersion(database.db, ids.versionId);
    if (found === undefined || found.dataset.id !== ids.datasetId || found.dataset.tenant !== tenant) {
      throw new AppError(
        'dataset_version_not_found',
        `Dataset ${ids.datasetId} has no version ${ids.versionId}.`,
      );
    }
    const ref = found.version.files?.find((one) => one.path === path);
    if (ref === undefined) {
      const text = `The version has no ${path}; versions that are ready and were ingested have one.`;
      throw new AppError('dataset_not_ready', text);
    }
    return await readBlob(ref.sha256, DESCRIPTION_BYTES_MAX);
  }

  return async function registerDescriptionRoutes(app) {
    app.get(
      '/v1/datasets/:datasetId/versions/:versionId/schema',
      { config: { scope: 'data:read' }, schema: { operationId: 'getDatasetVersionSchema', tags, params } },
      async (request, reply) =>
        reply
          .type('application/json')
          .send(await file(request.principal.tenant, request.params, 'schema.json')),
    );

    app.get(
      '/v1/datasets/:datasetId/versions/:versionId/quality',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'getDatasetVersionQuality',
          tags,
          params,
          querystring: Type.Object(
            {
              format: Type.Union([Type.Literal('json'), Type.Literal('html')], { default: 'json' }),
            },
            { additionalProperties: false },
          ),
        },
      },
      async (request, reply) => {
        const { format } = request.query;
        const body = await file(request.principal.tenant, request.params, `quality.${format}`);
        if (format === 'json') return reply.type('application/json').send(body);
        // The page escapes every text; should it ever not, the browser still runs nothing of it.
        return reply
          .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
          .type('text/html; charset=utf-8')
          .send(body);
      },
    );
  };
}
