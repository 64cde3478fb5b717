import type { RolloutSpec } from '@millrace/contracts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Setting a rollout loads the versions it names. */
const PUT_TIMEOUT_MS = 120_000;

/** How requests of a model are divided among its versions, and which revision that is. */
export type Rollout = {
  readonly model: string;
  readonly modelId: string;
  readonly revision: number;
  readonly spec: RolloutSpec;
  /** Set when this revision is one that took a canary's weight away. */
  readonly rolledBack: {
    readonly at: string;
    readonly version: string;
    readonly reason: string;
    readonly fromRevision: number;
  } | null;
  readonly updatedAt: string;
  readonly updatedBy: string;
};

/** How a rollout does, over all processes that serve the model. */
export type RolloutStatus = {
  readonly model: string;
  readonly revision: number;
  readonly windowSeconds: number;
  readonly canary: 'none' | 'waiting' | 'healthy' | 'broken' | 'withdrawn' | 'rolled-back';
  readonly reason: string | null;
  readonly versions: readonly {
    readonly version: string;
    readonly weight: number | null;
    readonly requests: number;
    readonly errors: number;
    readonly errorRate: number | null;
    readonly p50Ms: number | null;
    readonly p95Ms: number | null;
    readonly p99Ms: number | null;
    readonly requestsTotal: number;
    readonly errorsTotal: number;
  }[];
  readonly shadow: {
    readonly version: string;
    readonly percent: number;
    readonly offered: number;
    readonly compared: number;
    readonly failed: number;
    readonly incomparable: number;
    readonly dropped: number;
    readonly maxAbsDifference: number | null;
    readonly meanAbsDifference: number | null;
    readonly labelAgreement: number | null;
  } | null;
  readonly sources: number;
  readonly lastReportAt: string | null;
};

/** The revision that a change is based on; without one, only a rollout that is not there yet can be made. */
export type RolloutChange = { readonly revision?: number };

const ifMatch = ({ revision }: RolloutChange): Record<string, string> =>
  revision === undefined ? {} : { 'if-match': `"${revision}"` };

/** Rollouts of models. */
export function createRolloutsClient({ call }: Transport) {
  const one = (model: string) => `/v1/rollouts/${encodeURIComponent(model)}`;
  return {
    list: async (query: PageQuery = {}) => await call<Page<Rollout>>('GET', '/v1/rollouts', { query }),
    get: async (model: string) => await call<Rollout>('GET', one(model)),
    status: async (model: string) => await call<RolloutStatus>('GET', `${one(model)}/status`),
    /** Throws `precondition_failed` when the rollout is not at this revision any more. */
    put: async (model: string, spec: RolloutSpec, change: RolloutChange = {}) =>
      await call<Rollout>('PUT', one(model), {
        body: spec,
        headers: ifMatch(change),
        timeoutMs: PUT_TIMEOUT_MS,
      }),
    delete: async (model: string, change: RolloutChange) =>
      await call<null>('DELETE', one(model), { headers: ifMatch(change) }),
  };
}
