import type { FeatureEntity, FeatureSpec, FeatureViewChange, FeatureViewSpec } from '@millrace/contracts';
import type { DatasetVersion } from './datasets.ts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Making a training set reads a whole dataset version. */
const TRAINING_SET_TIMEOUT_MS = 300_000;

/** A set of features about one entity; `revision` is what a change is based on. */
export type FeatureView = {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly owner: string;
  readonly entity: FeatureEntity;
  readonly features: readonly FeatureSpec[];
  /** How long a value counts after its event; null: for ever. */
  readonly ttlSeconds: number | null;
  readonly revision: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly updatedBy: string;
};

/** All values of an entity at one event; what is left out or null has no value from then on. */
export type FeatureRow = {
  entity: string | number;
  /** RFC 3339 with zone, down to the microsecond. */
  eventTime: string;
  /** When the values became known; default: now. */
  createdTime?: string;
  values: Record<string, unknown>;
};

/** What a write did: rows that say something new of their event, and entities whose newest row is another now. */
export type FeaturesWritten = { readonly rows: number; readonly added: number; readonly newest: number };

/** The values of an entity now; `reason` says why all are null. */
export type FeatureValues = {
  readonly view: string;
  readonly entity: string;
  readonly eventTime: string | null;
  readonly createdTime: string | null;
  readonly reason: null | 'expired' | 'missing';
  readonly values: Readonly<Record<string, unknown>>;
};

/** A row of a training set before the values are joined to it. */
export type TrainingSetRow = {
  time: string;
  /** Key of each entity by its name. */
  keys: Record<string, string | number>;
  labels?: Record<string, string | number | boolean | null>;
};

/** Which features, for which rows: those given, or those of a dataset version (its newest unless one is named). */
export type TrainingSetRequest = {
  views: { view: string; features?: string[] }[];
  rows?: TrainingSetRow[];
  source?: { dataset: string; version?: number; time: string; keys: Record<string, string> };
  /** `created` (default): only what was known at the time of a row; `event`: later corrections count too. */
  known?: 'created' | 'event';
  format?: 'csv' | 'ndjson';
};

const ifMatch = (revision: number): Record<string, string> => ({ 'if-match': `"${revision}"` });

/** Features: their views, their values now, and training sets with the values of the past. */
export function createFeaturesClient({ call, exchange }: Transport) {
  const view = (name: string) => `/v1/features/views/${encodeURIComponent(name)}`;
  const values = (name: string) => `/v1/features/${encodeURIComponent(name)}`;
  const entity = (name: string, key: string | number) => `${values(name)}/${encodeURIComponent(String(key))}`;
  return {
    views: async (query: PageQuery & { entity?: string } = {}) =>
      await call<Page<FeatureView>>('GET', '/v1/features/views', { query }),
    view: async (name: string) => await call<FeatureView>('GET', view(name)),
    /** The same definition again is the view there is; throws `feature_view_exists` for another. */
    createView: async (spec: FeatureViewSpec) =>
      await call<FeatureView>('POST', '/v1/features/views', { body: spec, isRepeatable: true }),
    /** Throws `precondition_failed` when the view is not at this revision any more. */
    updateView: async (name: string, change: FeatureViewChange, { revision }: { revision: number }) =>
      await call<FeatureView>('PATCH', view(name), { body: change, headers: ifMatch(revision) }),
    deleteView: async (name: string, { revision }: { revision: number }) =>
      await call<null>('DELETE', view(name), { headers: ifMatch(revision) }),
    /** Writes up to 1,000 rows, all or none; an older event never takes the place of a newer one. */
    put: async (
      name: string,
      rows: readonly FeatureRow[],
      options: { createdTimes?: 'now' | 'event' } = {},
    ) => await call<FeaturesWritten>('PUT', values(name), { body: { rows, ...options }, isRepeatable: true }),
    /** The values of one entity. */
    get: async (name: string, key: string | number) => await call<FeatureValues>('GET', entity(name, key)),
    /** Those of up to 1,000 entities, in their order. */
    getMany: async (name: string, entities: readonly (string | number)[]) =>
      (
        await call<{ items: FeatureValues[] }>('POST', `${values(name)}/lookup`, {
          body: { entities },
          isRepeatable: true,
        })
      ).items,
    /** Removes an entity with all its history. */
    forget: async (name: string, key: string | number) => await call<null>('DELETE', entity(name, key)),
    /** A training set as a version of a dataset; equal bytes are the version there is. */
    trainingSet: async (request: TrainingSetRequest & { into: string }) =>
      await call<DatasetVersion>('POST', '/v1/features/training-sets', {
        body: request,
        timeoutMs: TRAINING_SET_TIMEOUT_MS,
      }),
    /** The rows of a training set as text. */
    trainingRows: async (request: TrainingSetRequest): Promise<string> => {
      const { bytes } = await exchange('POST', '/v1/features/training-sets/rows', {
        body: request,
        timeoutMs: TRAINING_SET_TIMEOUT_MS,
        isRepeatable: true,
      });
      return new TextDecoder().decode(bytes);
    },
  };
}
