import type { ResolvedVersion, RolloutPlan } from '@millrace/contracts';
import type { Metrics } from '@millrace/service-kit';
import type { LoadedModel } from '../models/model-store.ts';
import { servedNameOf } from '../models/served-name.ts';
import { isOwnFault } from './own-fault.ts';
import type { RolloutReporter } from './rollout-reporter.ts';
import type { Caller, RouteBy, Router } from './router.ts';
import { createRouter } from './router.ts';
import type { Shadow, ShadowMetrics, ShadowRequest } from './shadow.ts';

const LABELS = ['model', 'version'] as const;
const DIFFERENCE_BUCKETS = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 100];

/** The rollout under which a request runs; only one that was divided by it counts for it. */
export type Policy = { readonly plan: RolloutPlan; readonly modelId: string; readonly isRouted: boolean };

/** Applies the rollouts of models in this process. */
export type Rollouts = {
  /** The label that answers; undefined for the version that serves by default. No caller: who only asks about the model. */
  route(version: ResolvedVersion, plan: RolloutPlan, caller: Caller | null): string | undefined;
  /** Counts an answer and sends its copy to the shadow. */
  answered(policy: Policy, request: ShadowRequest, latencyMs: number): void;
  /** Counts an error, if it speaks against the version. */
  failed(policy: Policy, version: string, error: unknown): void;
};

/** Prometheus series of copies. */
export function createShadowMetrics(metrics: Metrics): ShadowMetrics {
  const ends = metrics.counter({
    name: 'shadow_requests_total',
    help: 'Copies of requests at a shadow version: compared, failed, incomparable or dropped.',
    labels: [...LABELS, 'outcome'],
  });
  const differences = metrics.histogram({
    name: 'shadow_difference',
    help: 'Difference of the values of an answer and that of the shadow: its maximum (max) and its mean (mean).',
    labels: [...LABELS, 'of'],
    buckets: DIFFERENCE_BUCKETS,
  });
  const labels = metrics.counter({
    name: 'shadow_labels_total',
    help: 'Labels of answers, by whether the shadow gave the same.',
    labels: [...LABELS, 'same'],
  });
  return {
    end: ({ model, version }, outcome) => ends.inc({ model, version, outcome }),
    difference({ model, version }, { maxAbs, meanAbs, labels: all, labelsEqual }) {
      differences.observe({ model, version, of: 'max' }, maxAbs);
      differences.observe({ model, version, of: 'mean' }, meanAbs);
      labels.inc({ model, version, same: 'yes' }, labelsEqual);
      labels.inc({ model, version, same: 'no' }, all - labelsEqual);
    },
  };
}

export function createRollouts(deps: {
  reporter: RolloutReporter;
  shadow: Shadow;
  metrics: Metrics;
}): Rollouts {
  const { reporter, shadow } = deps;
  const routers = new WeakMap<RolloutPlan, Router>();
  const routed = deps.metrics.counter({
    name: 'rollout_requests_total',
    help: 'Requests that a rollout divided, by the version they went to and what decided.',
    labels: [...LABELS, 'by'],
  });

  function routerOf(plan: RolloutPlan, modelId: string): Router {
    const held = routers.get(plan);
    if (held !== undefined) return held;
    const router = createRouter(plan, modelId);
    routers.set(plan, router);
    return router;
  }

  const count = (model: string, version: string, by: RouteBy): void => routed.inc({ model, version, by });

  return {
    route(version, plan, caller) {
      const router = routerOf(plan, version.modelId);
      if (caller === null) return router.main;
      const { version: label, by } = router.route(caller);
      count(servedNameOf(version), label ?? version.version, by);
      return label;
    },
    answered({ plan, modelId }, request, latencyMs) {
      const tally = reporter.tally(modelId, plan.revision);
      if (tally === undefined) return;
      tally.answered(request.model.version.version, latencyMs);
      if (plan.shadow !== undefined) shadow.offer(plan, tally, request);
    },
    failed({ plan, modelId }, version, error) {
      if (isOwnFault(error)) reporter.tally(modelId, plan.revision)?.failed(version);
    },
  };
}

/** A loaded model with the rollout that a request runs under. */
export type RoutedModel = LoadedModel & { readonly policy?: Policy };
