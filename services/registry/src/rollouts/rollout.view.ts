import type { RolloutSpec } from '@millrace/contracts';
import { RolloutSpec as Spec, Uuid } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import { isExposed, judge } from './canary.ts';
import type { RolloutRow } from './rollout.table.ts';
import { windowSeconds } from './rollout-monitor.ts';
import type { RolloutWindow, VersionCounts } from './rollout-window.ts';
import { noCounts, quantileMs } from './rollout-window.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

const RollbackView = Type.Object({
  at: Type.String(),
  version: Type.String(),
  reason: Type.String(),
  fromRevision: Type.Integer(),
});

/** A rollout with its revision, which is its entity tag too. */
export const RolloutView = Type.Object({
  model: Type.String(),
  modelId: Uuid,
  revision: Type.Integer(),
  spec: Spec,
  rolledBack: Nullable(RollbackView),
  updatedAt: Type.String(),
  updatedBy: Type.String(),
});
export type RolloutView = Static<typeof RolloutView>;

const VersionStatus = Type.Object({
  version: Type.String(),
  weight: Nullable(Type.Number()),
  requests: Type.Integer({ description: 'In the window.' }),
  errors: Type.Integer(),
  errorRate: Nullable(Type.Number()),
  p50Ms: Nullable(Type.Number({ description: 'Latencies are exact to 5 percent.' })),
  p95Ms: Nullable(Type.Number()),
  p99Ms: Nullable(Type.Number()),
  requestsTotal: Type.Integer({ description: 'Since the revision came into force.' }),
  errorsTotal: Type.Integer(),
});

const ShadowStatus = Type.Object({
  version: Type.String(),
  percent: Type.Number(),
  offered: Type.Integer({ description: 'compared + failed + incomparable + dropped + those under way.' }),
  compared: Type.Integer(),
  failed: Type.Integer(),
  incomparable: Type.Integer(),
  dropped: Type.Integer(),
  maxAbsDifference: Nullable(Type.Number()),
  meanAbsDifference: Nullable(Type.Number({ description: 'Mean over the compared requests.' })),
  labelAgreement: Nullable(Type.Number({ description: 'Share of labels that were the same.' })),
});

/** How a rollout does, over all processes and replicas that serve the model. */
export const RolloutStatus = Type.Object({
  model: Type.String(),
  revision: Type.Integer(),
  windowSeconds: Type.Integer(),
  canary: Type.Union(
    [
      Type.Literal('none'),
      Type.Literal('waiting'),
      Type.Literal('healthy'),
      Type.Literal('broken'),
      Type.Literal('withdrawn'),
      Type.Literal('rolled-back'),
    ],
    { description: 'waiting: too few requests; withdrawn: it has no weight; broken: it loses it now.' },
  ),
  reason: Nullable(Type.String()),
  versions: Type.Array(VersionStatus),
  shadow: Nullable(ShadowStatus),
  sources: Type.Integer({ description: 'Processes that reported on this revision.' }),
  lastReportAt: Nullable(Type.String()),
});
export type RolloutStatus = Static<typeof RolloutStatus>;

export function toRolloutView(model: string, row: RolloutRow): RolloutView {
  return {
    model,
    modelId: row.modelId,
    revision: row.revision,
    spec: row.spec,
    rolledBack: row.rolledBack === null ? null : { ...row.rolledBack },
    updatedAt: row.updatedAt.toISOString(),
    updatedBy: row.updatedBy,
  };
}

function versionStatus(
  version: string,
  spec: RolloutSpec,
  own: VersionCounts,
  total: VersionCounts,
): RolloutStatus['versions'][number] {
  return {
    version,
    weight: spec.weights?.find((part) => part.version === version)?.weight ?? null,
    requests: own.requests,
    errors: own.errors,
    errorRate: own.requests === 0 ? null : own.errors / own.requests,
    p50Ms: quantileMs(own, 0.5),
    p95Ms: quantileMs(own, 0.95),
    p99Ms: quantileMs(own, 0.99),
    requestsTotal: total.requests,
    errorsTotal: total.errors,
  };
}

function shadowStatus(spec: RolloutSpec, window: RolloutWindow): RolloutStatus['shadow'] {
  if (spec.shadow === undefined) return null;
  const parts = window.shadows();
  const sum = (name: Exclude<keyof (typeof parts)[number], 'version'>): number =>
    parts.reduce((total, part) => total + part[name], 0);
  const compared = sum('compared');
  const labels = sum('labels');
  return {
    ...spec.shadow,
    offered: sum('offered'),
    compared,
    failed: sum('failed'),
    incomparable: sum('incomparable'),
    dropped: sum('dropped'),
    maxAbsDifference: compared === 0 ? null : Math.max(...parts.map(({ maxAbs }) => maxAbs)),
    meanAbsDifference: compared === 0 ? null : sum('meanAbsSum') / compared,
    labelAgreement: labels === 0 ? null : sum('labelsEqual') / labels,
  };
}

function canaryStatus(row: RolloutRow, window: RolloutWindow): Pick<RolloutStatus, 'canary' | 'reason'> {
  const { spec } = row;
  if (row.rolledBack !== null) return { canary: 'rolled-back', reason: row.rolledBack.reason };
  if (spec.canary === undefined) return { canary: 'none', reason: null };
  if (!isExposed(spec)) return { canary: 'withdrawn', reason: null };
  const verdict = judge(spec.canary, window.counts(Date.now()));
  return { canary: verdict.state, reason: verdict.state === 'broken' ? verdict.reason : null };
}

export function toRolloutStatus(model: string, row: RolloutRow, window: RolloutWindow): RolloutStatus {
  const counts = window.counts(Date.now());
  const totals = window.totals();
  const named = row.spec.weights?.map(({ version }) => version) ?? [];
  const versions = [...new Set([...named, ...totals.keys()])];
  const { count, lastAt } = window.sources();
  return {
    model,
    revision: row.revision,
    windowSeconds: windowSeconds(row),
    ...canaryStatus(row, window),
    versions: versions.map((version) =>
      versionStatus(version, row.spec, counts.get(version) ?? noCounts(), totals.get(version) ?? noCounts()),
    ),
    shadow: shadowStatus(row.spec, window),
    sources: count,
    lastReportAt: lastAt === null ? null : new Date(lastAt).toISOString(),
  };
}
