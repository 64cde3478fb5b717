import type { ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import type { CacheAnswer, ResponseCache } from '../cache/response-cache.ts';
import type { QueueAnswer } from '../engine/request-queue.ts';
import type { StepTime } from '../engine/runner.ts';
import type { LoadedModel, ModelStore } from '../models/model-store.ts';
import type { VersionResolver } from '../models/version-resolver.ts';
import { assertServable } from '../packages/verify-package.ts';
import type { Rollouts, RoutedModel } from '../rollouts/rollouts.ts';
import type { Caller } from '../rollouts/router.ts';
import type { Withdrawals } from '../server/withdrawals.ts';
import type { PredictionPublisher } from '../telemetry/prediction-publisher.ts';
import { summarise } from '../telemetry/tensor-summary.ts';
import { rowCount } from '../tensors/read-inputs.ts';
import type { Tensor } from '../tensors/tensor.ts';
import { confidenceOf } from './confidence.ts';
import type { PredictionMetrics } from './prediction-metrics.ts';

/** An answered prediction; `latencyMs` counts from the arrival of the whole body. */
export type Answer = {
  inferenceId: string;
  version: ResolvedVersion;
  outputs: Tensor[];
  confidence: number | null;
  latencyMs: number;
  /** Wait for the model (ms). */
  queueMs: number;
  /** Time of the run (ms). */
  computeMs: number;
  /** Of an ensemble. */
  steps?: readonly StepTime[] | undefined;
};

export type PredictionInput = {
  model: RoutedModel;
  inputs: readonly Tensor[];
  /** Outputs wanted; all when absent. */
  outputs?: readonly string[] | undefined;
  /** When the body was complete (`performance.now()`). */
  startedAt: number;
  deadlineMs?: number | undefined;
  /** 1 is run first; see the queue. */
  priority?: number | undefined;
  userId?: string | undefined;
  sessionId?: string | undefined;
  /** Whether the caller went away: the prediction is dropped where it has not begun. */
  isGone?: (() => boolean) | undefined;
};

/** Models go by their served names. */
export type PredictionService = {
  /** As `model`, at once: for a model that is in memory, has no rollout and was asked of the registry lately. */
  ready(name: string, version: string | undefined): RoutedModel | undefined;
  /**
   * The loaded model that answers a request: the version it names, else where the rollout sends the caller. Throws the
   * errors of the resolver and the store.
   */
  model(name: string, version: string | undefined, caller?: Caller): Promise<RoutedModel>;
  /** The loaded model that a question about a model means; without a version the one that answers most requests. */
  described(name: string, version: string | undefined): Promise<LoadedModel>;
  /** Runs a prediction and reports it. Throws the errors of the queue, `invalid_shape` and `batch_too_large`. */
  predict(input: PredictionInput): Promise<Answer>;
};

/** A caller of whom nothing is known. */
const NOBODY: Caller = {};

const roundMs = (ms: number): number => Math.round(ms * 1000) / 1000;

/** The rules of a prediction, without HTTP. */
export function createPredictionService(deps: {
  resolver: VersionResolver;
  store: ModelStore;
  withdrawals: Withdrawals;
  publisher: PredictionPublisher;
  metrics: PredictionMetrics;
  rollouts: Rollouts;
  cache: ResponseCache;
  rowsMax: number;
  deadlineMs: number;
}): PredictionService {
  const { resolver, store, withdrawals, publisher, metrics, rollouts, cache } = deps;

  function report(input: PredictionInput, answer: Answer, { queued, isHit }: CacheAnswer): void {
    const { version } = answer;
    if (isHit) metrics.observeHit(version, answer.latencyMs);
    else metrics.observe(version, queued, answer.latencyMs);
    const { inferenceId, latencyMs, confidence } = answer;
    publisher.record(version, (withInputs) => ({
      inferenceId,
      time: new Date().toISOString(),
      latencyMs,
      confidence,
      ...(input.userId !== undefined && { userId: input.userId }),
      ...(input.sessionId !== undefined && { sessionId: input.sessionId }),
      inputs: input.inputs.map((tensor, i) => summarise(tensor, queued.inputDigests?.[i], withInputs)),
      outputs: answer.outputs.map((tensor) => summarise(tensor)),
    }));
  }

  function load(version: ResolvedVersion): LoadedModel | Promise<LoadedModel> {
    assertServable(version);
    withdrawals.assertServed(version);
    return store.peek(version.modelVersionId) ?? store.load(version);
  }

  function ready(name: string, label: string | undefined): RoutedModel | undefined {
    const version = resolver.peek(name, label);
    if (version === undefined || version.rollout !== undefined) return undefined;
    assertServable(version);
    withdrawals.assertServed(version);
    return store.peek(version.modelVersionId);
  }

  async function find(name: string, label: string | undefined, caller: Caller | null): Promise<RoutedModel> {
    const named = resolver.peek(name, label) ?? (await resolver.resolve(name, label));
    const plan = named.rollout;
    if (plan === undefined) return load(named);
    const isRouted = label === undefined;
    const policy = { plan, modelId: named.modelId, isRouted };
    if (!isRouted) return { ...(await load(named)), policy };
    const target = rollouts.route(named, plan, caller);
    try {
      const version =
        target === undefined
          ? named
          : (resolver.peek(name, target) ?? (await resolver.resolve(name, target)));
      return { ...(await load(version)), policy };
    } catch (error) {
      if (caller !== null) rollouts.failed(policy, target ?? named.version, error);
      throw error;
    }
  }

  /** Runs a prediction, or takes the answer of an equal one where the rollout allows it. */
  async function run(input: PredictionInput): Promise<CacheAnswer> {
    const { model, inputs, outputs, startedAt } = input;
    const { served, policy } = model;
    const rows = rowCount(served.signature, inputs, deps.rowsMax);
    const deadlineMs = Math.min(input.deadlineMs ?? deps.deadlineMs, deps.deadlineMs);
    const submit = (): Promise<QueueAnswer> =>
      served.queue.submit({
        inputs,
        rows,
        receivedAt: startedAt,
        deadlineMs,
        outputs,
        priority: input.priority,
        isGone: input.isGone,
      });
    const caching = policy?.plan.cache;
    if (caching === undefined) return { queued: await submit(), isHit: false };
    return cache.answer({ model, policy: caching, inputs, outputs, rows, startedAt, deadlineMs }, submit);
  }

  return {
    ready,
    model: (name, label, caller = NOBODY) => find(name, label, caller),
    described: (name, label) => find(name, label, null),
    async predict(input) {
      const { version, policy } = input.model;
      try {
        const ran = await run(input);
        const { outputs, queueMs, computeMs, steps } = ran.queued;
        const latencyMs = roundMs(performance.now() - input.startedAt);
        const answer = {
          inferenceId: newId(),
          version,
          outputs,
          confidence: confidenceOf(outputs),
          latencyMs,
          queueMs,
          computeMs,
          steps,
        };
        report(input, answer, ran);
        // what the cache gave says nothing of the version
        if (policy?.isRouted === true && !ran.isHit) {
          const request = { model: input.model, inputs: input.inputs, answer: outputs };
          rollouts.answered(policy, request, latencyMs);
        }
        return answer;
      } catch (error) {
        metrics.fail(version, error);
        if (policy?.isRouted === true) rollouts.failed(policy, version.version, error);
        throw error;
      }
    },
  };
}
