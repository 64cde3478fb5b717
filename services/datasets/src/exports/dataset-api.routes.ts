import { Readable } from 'node:stream';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError, Name } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import type { VersionRow } from '../datasets/dataset.table.ts';
import { findDataset } from '../datasets/find-dataset.ts';
import { csvOfArrow } from './arrow-csv.ts';

/** Downloads that make CSV of Arrow at once: each holds a record batch of at most 65,536 rows. */
const CONVERSIONS_MAX = 2;
const SCHEMA_BYTES_MAX = 64 * 1024 * 1024;
/** Order in which the splits of an ingested version follow each other. */
const SPLITS = ['train.arrow', 'validation.arrow', 'test.arrow'];
const SCHEMA_FILE = 'schema.json';

export type DatasetApiOptions = {
  database: Database;
  datasets: DatasetRepository;
  openBlob: (sha256: string) => Promise<Readable>;
  readBlob: (sha256: string, maxBytes: number) => Promise<Buffer>;
};

type Content = { body: Readable; sizeBytes?: number };

/**
 * `GET /datasets/{id}/download` and `…/schema`: the rows of a version as one CSV file, and its schema. `id` is an id or
 * a name; without `?version=` the newest version that is ready is given.
 */
export function datasetApiRoutes(options: DatasetApiOptions): (app: HttpApp) => Promise<void> {
  const { database, datasets, openBlob, readBlob } = options;
  const schema = {
    tags: ['datasets'],
    params: Type.Object({ datasetId: Name }),
    querystring: Type.Object(
      { version: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647 })) },
      { additionalProperties: false },
    ),
  };
  let converting = 0;

  async function readyVersion(tenant: string, datasetId: string, ordinal: number | undefined) {
    const dataset = await findDataset(database.db, datasets, tenant, datasetId);
    const version = await datasets.newestVersion(database.db, dataset.id, ordinal);
    if (version === undefined) {
      const which = ordinal === undefined ? 'no version yet' : `no version ${ordinal}`;
      throw new AppError('dataset_version_not_found', `Dataset ${dataset.name} has ${which}.`);
    }
    if (version.state !== 'ready')
      throw new AppError('dataset_not_ready', `Version ${version.ordinal} is ${version.state}.`);
    return version;
  }

  async function* converted(files: readonly ArtifactRef[]): AsyncGenerator<Buffer> {
    if (converting >= CONVERSIONS_MAX)
      throw new AppError('queue_full', `${CONVERSIONS_MAX} downloads are made already; try again soon.`);
    converting += 1;
    try {
      for await (const text of csvOfArrow(
        files.map(
          ({ sha256 }) =>
            () =>
              openBlob(sha256),
        ),
      ))
        yield Buffer.from(text);
    } finally {
      converting -= 1;
    }
  }

  async function csvOf({ ordinal, files }: VersionRow): Promise<Content> {
    const splits = SPLITS.flatMap((name) => files?.filter(({ path }) => path === name) ?? []);
    if (splits.length > 0) return { body: await begun(converted(splits)) };
    const [csv, ...others] = files?.filter(({ path }) => path.toLowerCase().endsWith('.csv')) ?? [];
    if (csv !== undefined && others.length === 0)
      return { body: await openBlob(csv.sha256), sizeBytes: csv.sizeBytes };
    throw new AppError(
      'dataset_not_tabular',
      `Version ${ordinal} has ${csv === undefined ? 'no' : 'more than one'} CSV file and was not ingested; ingest it with POST /v1/datasets/{id}/ingest.`,
    );
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

/** A stream that has its first bytes already: what is wrong from the start is still answered with an error. */
async function begun(chunks: AsyncGenerator<Buffer>): Promise<Readable> {
  const first = await chunks.next();
  return Readable.from(
    (async function* () {
      try {
        if (first.done !== true) yield first.value;
        yield* chunks;
      } finally {
        await chunks.return(undefined);
      }
    })(),
    { objectMode: false },
  );
}
