import type { Readable } from 'node:stream';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { DatasetRepository } from '../../datasets/dataset.repository.ts';
import type { VersionRow } from '../../datasets/dataset.table.ts';
import { findDataset, findReadyVersion } from '../../datasets/find-dataset.ts';
import type { VersionCsv } from '../../exports/version-csv.ts';
import { begun } from '../../exports/version-csv.ts';
import type { VersionService } from '../../versions/version.service.ts';
import type { FeatureValueRepository } from '../feature-value.repository.ts';
import type { ViewCache } from '../view-cache.ts';
import type { JoinedView, Known } from './join.ts';
import { joinAsOf } from './join.ts';
import type { GivenRow, SourceColumns, Spine } from './spine.ts';
import { csvSpine, givenSpine } from './spine.ts';
import type { FeatureColumn, TableFormat } from './table-text.ts';
import { tableWriter } from './table-text.ts';

/** Training sets that are made at once; each holds a batch of rows. */
const AT_ONCE_MAX = 2;
/** Columns of values; each element of a vector is one. */
const COLUMNS_MAX = 16_384;

/** Which features, for which rows. */
export type TrainingSetRequest = {
  readonly views: readonly { readonly view: string; readonly features?: readonly string[] }[];
  readonly rows?: readonly GivenRow[];
  readonly source?: SourceColumns & { readonly dataset: string; readonly version?: number };
  readonly known?: Known;
  readonly format?: TableFormat;
};

export type TrainingSetOptions = {
  database: Database;
  datasets: DatasetRepository;
  versions: VersionService;
  featureValues: Pick<FeatureValueRepository, 'asOf'>;
  viewCache: ViewCache;
  csvOf: VersionCsv;
  storeBlob: (file: Readable) => Promise<{ sha256: string; sizeBytes: number }>;
};

export type TrainingSetService = ReturnType<typeof createTrainingSetService>;

/** Training sets: rows with the values that each would have been given at its time. */
export function createTrainingSetService(options: TrainingSetOptions) {
  const { database, datasets, versions, featureValues, viewCache } = options;
  let making = 0;

  async function joinedViews(tenant: string, { views }: TrainingSetRequest): Promise<JoinedView[]> {
    const names = new Set(views.map(({ view }) => view));
    if (names.size < views.length)
      throw new AppError('invalid_request', 'body.views names a view twice; name its features together.');
    return Promise.all(
      views.map(async ({ view: name, features: wanted }, index) => {
        const view = await viewCache.get(tenant, name);
        const features = (wanted ?? view.features.map((feature) => feature.name)).map((one) => {
          const feature = view.features.find((candidate) => candidate.name === one);
          if (feature !== undefined) return feature;
          throw new AppError('invalid_request', `body.views.${index} names ${one}, which ${name} has not.`);
        });
        return { view, features };
      }),
    );
  }

  function columnsOf(joined: readonly JoinedView[]): FeatureColumn[] {
    const columns = joined.flatMap(({ view, features }) =>
      features.map((feature) => ({ name: `${view.name}.${feature.name}`, feature })),
    );
    const count = columns.reduce((sum, { feature }) => sum + (feature.size ?? 1), 0);
    if (count > COLUMNS_MAX)
      throw new AppError(
        'payload_too_large',
        `The features have ${count} columns; take at most ${COLUMNS_MAX}.`,
      );
    return columns;
  }

  function assertKeys(joined: readonly JoinedView[], keys: Readonly<Record<string, unknown>>): void {
    const missing = joined.find(({ view }) => !Object.hasOwn(keys, view.entity));
    if (missing !== undefined)
      throw new AppError(
        'invalid_request',
        `No key is given for ${missing.view.entity}, which the view ${missing.view.name} is about.`,
      );
  }

  async function spineOf(
    tenant: string,
    { rows, source }: TrainingSetRequest,
    joined: readonly JoinedView[],
  ): Promise<Spine> {
    if ((rows === undefined) === (source === undefined))
      throw new AppError('invalid_request', 'Give either body.rows or body.source.');
    if (rows !== undefined) {
      assertKeys(joined, rows[0]?.keys ?? {});
      return givenSpine(rows);
    }
    const wanted = source as NonNullable<typeof source>;
    assertKeys(joined, wanted.keys);
    const { version } = await findReadyVersion(database.db, datasets, {
      tenant,
      dataset: wanted.dataset,
      ordinal: wanted.version,
    });
    return csvSpine((await options.csvOf(version)).body, wanted);
  }

  /** Text of the training set, a batch of rows at a time. */
  async function* lines(tenant: string, request: TrainingSetRequest, joined: readonly JoinedView[]) {
    if (making >= AT_ONCE_MAX)
      throw new AppError('queue_full', `${AT_ONCE_MAX} training sets are made already; try again soon.`);
    making += 1;
    try {
      const spine = await spineOf(tenant, request, joined);
      const features = columnsOf(joined);
      const twice = features.find(({ name }) => spine.columns.includes(name));
      if (twice !== undefined)
        throw new AppError('invalid_request', `The rows have a column ${twice.name} already.`);
      const writer = tableWriter(request.format ?? 'csv', spine.columns, features);
      // with the first rows, so that a fault of theirs is still an answer of its own
      let head = writer.head;
      for await (const rows of spine.batches) {
        const cells = await joinAsOf(featureValues, joined, rows, request.known ?? 'created');
        yield Buffer.from(head + rows.map(({ carried }, i) => writer.row(carried, cells[i] ?? [])).join(''));
        head = '';
      }
      if (head !== '') yield Buffer.from(head);
    } finally {
      making -= 1;
    }
  }

  return {
    /**
     * The training set as a stream whose first rows are made.
     * @throws AppError `invalid_request`, `invalid_feature_row`, `feature_view_not_found`, `queue_full`, those of the
     * source's version; the stream fails with them as well
     */
    async stream(tenant: string, request: TrainingSetRequest): Promise<Readable> {
      return begun(lines(tenant, request, await joinedViews(tenant, request)));
    },

    /**
     * The training set as a version of a dataset; equal bytes are the version there is.
     * @throws AppError as `stream`, and `dataset_not_found`, `quota_reached`, `storage_unavailable`
     */
    async version(
      tenant: string,
      request: TrainingSetRequest & { readonly into: string },
    ): Promise<{ version: VersionRow; isReused: boolean }> {
      const dataset = await findDataset(database.db, datasets, tenant, request.into);
      await versions.assertFits(tenant, 1);
      const joined = await joinedViews(tenant, request);
      const format = request.format ?? 'csv';
      const blob = await options.storeBlob(await begun(lines(tenant, request, joined)));
      const file: ArtifactRef = { path: `training-set.${format === 'csv' ? 'csv' : 'jsonl'}`, ...blob };
      return versions.upload(tenant, dataset.id, [file], {
        type: 'features',
        known: request.known ?? 'created',
        views: joined.map(({ view, features }) => ({
          viewId: view.id,
          view: view.name,
          ttlSeconds: view.ttlSeconds,
          features: features.map(({ name }) => name),
        })),
        ...(request.source !== undefined && { source: request.source }),
      });
    },
  };
}
