import type { ConsumerDeps, Pull } from '@millrace/bus';
import { featureSubject, ownerOf, startConsumer } from '@millrace/bus';
import type { EventDefinition } from '@millrace/contracts';
import { AppError, FeatureRows, Uuid } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import Value from 'typebox/value';
import type { FeatureStore } from './feature-store.ts';
import { viewNotFound } from './feature-view.service.ts';
import type { FeatureViewRow } from './feature-view.table.ts';
import type { StoredRow } from './row-reader.ts';

/** Messages at once; their order does not matter, since a row never takes the place of a newer one. */
const CONCURRENCY = 4;
/** Hours of a Postgres that is away: only what can never be stored is given up sooner. */
const DELIVERIES_MAX = 1_000;

const rowsMessage: EventDefinition<'feature.rows', typeof FeatureRows> = {
  name: 'feature.rows',
  version: 1,
  subject: featureSubject('*'),
  type: 'dev.millrace.feature.rows.v1',
  aggregate: 'feature',
  doc: 'Rows of one view, which the subject names.',
  data: FeatureRows,
};

type Prepared = { readonly viewId: string; readonly rows: readonly StoredRow[] };

/** Stores the rows that come over the bus, each message once; one with a row that does not fit is a dead letter. */
export function startFeatureConsumer(
  deps: ConsumerDeps & {
    store: FeatureStore;
    findView: (db: Executor, id: string) => Promise<FeatureViewRow | undefined>;
  },
): Pull {
  const { store, findView, ...consumer } = deps;
  return startConsumer<typeof rowsMessage, Prepared>(consumer, {
    event: rowsMessage,
    stream: 'featureRows',
    durable: 'datasets-feature-rows',
    concurrency: CONCURRENCY,
    maxDeliver: DELIVERIES_MAX,
    async prepare({ rows }, info) {
      const viewId = info.subject.slice(featureSubject('').length);
      if (!Value.Check(Uuid, viewId))
        throw new AppError('bad_id', 'The last part of the subject must be the id of a feature view.');
      const view = await findView(deps.database.db, viewId);
      if (view === undefined || view.tenant !== ownerOf(info)) throw viewNotFound(viewId);
      return { viewId, rows: store.read(view, rows) };
    },
    async apply(tx, _data, { viewId, rows }) {
      await store.writeIn(tx, viewId, rows);
    },
    committed: ({ viewId, rows }) => store.announce(viewId, rows),
  });
}
