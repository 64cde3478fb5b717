import type { RolloutCache } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Metrics } from '@millrace/service-kit';
import type { QueueAnswer } from '../engine/request-queue.ts';
import type { ServedModel } from '../engine/served-model.ts';
import type { LoadedModel } from '../models/model-store.ts';
import { servedNameOf } from '../models/served-name.ts';
import { digestOf } from '../telemetry/tensor-summary.ts';
import type { Tensor } from '../tensors/tensor.ts';
import { createCacheStore, sameInputs } from './cache-store.ts';
import type { CacheTotals } from './cache-totals.ts';
import { createCacheTotals } from './cache-totals.ts';

/** How often expired answers are looked for (ms). */
const SWEEP_MS = 30_000;

export type CachedRequest = {
  readonly model: LoadedModel;
  readonly policy: RolloutCache;
  readonly inputs: readonly Tensor[];
  /** Outputs wanted; all when absent. */
  readonly outputs: readonly string[] | undefined;
  readonly rows: number;
  /** When the body was complete (`performance.now()`). */
  readonly startedAt: number;
  readonly deadlineMs: number;
};

/** An answer of the model, or one that it gave before. */
export type CacheAnswer = { readonly queued: QueueAnswer; readonly isHit: boolean };

export type ResponseCache = {
  /**
   * The kept answer, else that of `run`, which then is kept. Equal requests that come together run once. Throws what
   * `run` throws, and `deadline_exceeded` when the equal request before takes too long.
   */
  answer(request: CachedRequest, run: () => Promise<QueueAnswer>): Promise<CacheAnswer>;
  /** Counts of a version since it was loaded; undefined when it never asked. */
  totals(served: ServedModel): Readonly<CacheTotals> | undefined;
  stop(): void;
};

/** The run of a request that equal ones wait for; null when it failed. */
type Flight = { inputs: readonly Tensor[]; outputs: Promise<readonly Tensor[] | null> };

export type CacheLimits = {
  /** All answers of this process, with their inputs. */
  readonly bytesMax: number;
  /** Requests that wait for an equal one; more run for themselves. */
  readonly waitingMax: number;
  /** Processes among which the bound of a model is divided. */
  readonly fronts: number;
};

function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = new AppError('deadline_exceeded', 'An equal request before this one takes too long.');
    const timer = setTimeout(() => reject(late), Math.max(0, timeoutMs));
    void promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Answers of models whose rollout asks for it, by version, wanted outputs and the whole input. */
export function createResponseCache(metrics: Metrics, limits: CacheLimits): ResponseCache {
  const store = createCacheStore(limits.bytesMax);
  const flights = new Map<string, Flight>();
  const totals = new WeakMap<ServedModel, CacheTotals>();
  let waiting = 0;
  const requests = metrics.counter({
    name: 'cache_requests_total',
    help: 'Requests that asked the response cache: hit or miss.',
    labels: ['model', 'version', 'outcome'],
  });
  metrics.gauge({
    name: 'cache_bytes',
    help: 'Inputs and outputs in the response cache.',
    collect: (gauge) => gauge.set(store.stats().bytes),
  });
  metrics.gauge({
    name: 'cache_answers',
    help: 'Answers in the response cache.',
    collect: (gauge) => gauge.set(store.stats().entries),
  });
  metrics.gauge({
    name: 'cache_evicted',
    help: 'Answers that left the response cache for others since the start.',
    collect: (gauge) => gauge.set(store.stats().evicted),
  });
  const timer = setInterval(() => store.sweep(), SWEEP_MS).unref();

  function totalsOf(served: ServedModel): CacheTotals {
    const held = totals.get(served);
    if (held !== undefined) return held;
    const fresh = createCacheTotals();
    totals.set(served, fresh);
    return fresh;
  }

  function hit(request: CachedRequest, outputs: readonly Tensor[], lookMs: number, inputDigests: string[]) {
    const { served, version } = request.model;
    const counts = totalsOf(served);
    counts.hits += 1;
    counts.hitRows += request.rows;
    counts.hitMs += lookMs;
    counts.hitRequestMs += performance.now() - request.startedAt;
    counts.lastHitAt = Date.now();
    requests.inc({ model: servedNameOf(version), version: version.version, outcome: 'hit' });
    const queued = {
      outputs: [...outputs],
      queueMs: 0,
      computeMs: 0,
      joinedRows: request.rows,
      inputDigests,
    };
    return { queued, isHit: true };
  }

  /** Waits for an equal request; undefined when it failed, perhaps because its own caller left. */
  async function join(flight: Flight, request: CachedRequest): Promise<readonly Tensor[] | undefined> {
    waiting += 1;
    try {
      const left = request.deadlineMs - (performance.now() - request.startedAt);
      return (await withTimeout(flight.outputs, left)) ?? undefined;
    } finally {
      waiting -= 1;
    }
  }

  async function runAndKeep(
    request: CachedRequest,
    key: string,
    run: () => Promise<QueueAnswer>,
  ): Promise<QueueAnswer> {
    const { inputs, policy, model } = request;
    // of requests with the same key and other inputs only the first is a flight
    const isFlight = !flights.has(key);
    let land: (outputs: readonly Tensor[] | null) => void = () => undefined;
    const outputs = new Promise<readonly Tensor[] | null>((resolve) => {
      land = resolve;
    });
    if (isFlight) flights.set(key, { inputs, outputs });
    try {
      const answer = await run();
      const bytesMax = Math.floor(policy.maxBytes / limits.fronts);
      const { modelId } = model.version;
      store.put({
        key,
        modelId,
        inputs,
        outputs: answer.outputs,
        bytesMax,
        ttlMs: policy.ttlSeconds * 1_000,
      });
      land(answer.outputs);
      return answer;
    } catch (error) {
      land(null);
      throw error;
    } finally {
      if (isFlight) flights.delete(key);
    }
  }

  return {
    async answer(request, run) {
      const { model, inputs } = request;
      const lookedAt = performance.now();
      const digests = inputs.map(digestOf);
      const { modelVersionId, packageDigest } = model.version;
      const key = JSON.stringify([modelVersionId, packageDigest, request.outputs ?? null, digests]);
      const kept = store.get(key, inputs);
      const lookMs = performance.now() - lookedAt;
      if (kept !== undefined) return hit(request, kept, lookMs, digests);
      const flight = flights.get(key);
      if (flight !== undefined && waiting < limits.waitingMax && sameInputs(flight.inputs, inputs)) {
        const outputs = await join(flight, request);
        if (outputs !== undefined) return hit(request, outputs, lookMs, digests);
      }
      const counts = totalsOf(model.served);
      counts.misses += 1;
      counts.missMs += lookMs;
      requests.inc({ model: servedNameOf(model.version), version: model.version.version, outcome: 'miss' });
      const queued = await runAndKeep(request, key, run);
      return { queued: { ...queued, inputDigests: digests }, isHit: false };
    },
    totals: (served) => totals.get(served),
    stop: () => clearInterval(timer),
  };
}
