import type { ResolvedVersion, RolloutPlan, RolloutShadow, ShadowCounts } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';
import { PRIORITY_LEVELS } from '../engine/request-queue.ts';
import type { LoadedModel, ModelStore } from '../models/model-store.ts';
import { servedNameOf } from '../models/served-name.ts';
import type { VersionResolver } from '../models/version-resolver.ts';
import { assertServable } from '../packages/verify-package.ts';
import type { Withdrawals } from '../server/withdrawals.ts';
import { rowCount } from '../tensors/read-inputs.ts';
import type { ModelSignature, Tensor } from '../tensors/tensor.ts';
import { tensorBytes } from '../tensors/tensor.ts';
import type { Difference } from './difference.ts';
import { differenceOf } from './difference.ts';
import type { RolloutTally, ShadowEnd } from './rollout-tally.ts';
import { createTimeBudget } from './time-budget.ts';

/** Copies that wait or run in this process at once, and their inputs together with the answers they are compared with. */
const COPIES_MAX = 32;
const BYTES_MAX = 32 * 1024 * 1024;
/** A copy that waited this long is not run (ms). */
const DEADLINE_MS = 1_000;
/** Share of this process's time that copying, inline runs and comparing may take, and what of it may be saved up (ms). */
const TIME_SHARE_MAX = 0.1;
const TIME_BURST_MS = 100;

/** An answered request, as the shadow sees it. */
export type ShadowRequest = {
  readonly model: LoadedModel;
  readonly inputs: readonly Tensor[];
  readonly answer: readonly Tensor[];
};

export type ShadowMetrics = {
  end(version: ResolvedVersion, end: ShadowEnd): void;
  difference(version: ResolvedVersion, difference: Difference): void;
};

/** Sends copies of answered requests to another version. */
export type Shadow = {
  /** Never waits and never throws; takes its own copy of the inputs. */
  offer(plan: RolloutPlan, tally: RolloutTally, request: ShadowRequest): void;
};

const copyOf = (tensor: Tensor): Tensor => ({ ...tensor, data: tensor.data.slice() }) as Tensor;

/** The inputs in the order of another version; undefined when they do not fit it. */
function inputsFor(signature: ModelSignature, inputs: readonly Tensor[]): Tensor[] | undefined {
  if (signature.inputs.length !== inputs.length) return undefined;
  const found = signature.inputs.map((spec) => {
    const tensor = inputs.find(({ name }) => name === spec.name);
    const isFit =
      tensor?.dtype === spec.dtype &&
      tensor.shape.length === spec.shape.length &&
      spec.shape.every((size, axis) => size === null || size === tensor.shape[axis]);
    return isFit ? tensor : undefined;
  });
  return found.every((tensor) => tensor !== undefined) ? found : undefined;
}

export function createShadow(deps: {
  resolver: VersionResolver;
  store: ModelStore;
  withdrawals: Withdrawals;
  metrics: ShadowMetrics;
  rowsMax: number;
}): Shadow {
  const { resolver, store, withdrawals, metrics, rowsMax } = deps;
  const budget = createTimeBudget(TIME_SHARE_MAX, TIME_BURST_MS);
  const opening = new Set<string>();
  let copies = 0;
  let bytes = 0;

  /** Resolves and loads the version behind the requests; false when that is under way already. */
  function open(model: string, label: string, settle: (end: ShadowEnd) => void): boolean {
    const key = `${model}\n${label}`;
    if (opening.has(key)) return false;
    opening.add(key);
    resolver
      .resolve(model, label)
      .then((version) => {
        assertServable(version);
        withdrawals.assertServed(version);
        return store.load(version);
      })
      .then(
        () => settle('dropped'),
        () => settle('failed'),
      )
      .finally(() => opening.delete(key));
    return true;
  }

  function loadedOf(model: string, label: string): LoadedModel | undefined {
    const known = resolver.remembered(model, label);
    return known === null ? undefined : store.peek(known.value.modelVersionId);
  }

  /** Charges the work of this process for a copy. */
  function spend<T>(work: () => T): T {
    const startedAt = performance.now();
    try {
      return work();
    } finally {
      budget.spend(performance.now() - startedAt);
    }
  }

  async function run(
    model: LoadedModel,
    inputs: readonly Tensor[],
    request: ShadowRequest,
    { counts, settle }: { counts: ShadowCounts; settle: (end: ShadowEnd) => void },
  ): Promise<void> {
    try {
      const { signature, queue, runner } = model.served;
      const names = request.answer.map(({ name }) => name);
      if (!names.every((name) => signature.outputs.some((spec) => spec.name === name)))
        return settle('incomparable');
      const rows = rowCount(signature, inputs, rowsMax);
      const priority = PRIORITY_LEVELS;
      const answer = await queue.submit({ inputs, rows, deadlineMs: DEADLINE_MS, priority, outputs: names });
      if (runner.placement === 'inline') budget.spend((answer.computeMs * rows) / answer.joinedRows);
      const difference = spend(() => differenceOf(request.answer, answer.outputs));
      if (difference === null) return settle('incomparable');
      counts.maxAbs = Math.max(counts.maxAbs, difference.maxAbs);
      counts.meanAbsSum = Math.min(Number.MAX_VALUE, counts.meanAbsSum + difference.meanAbs);
      counts.labels += difference.labels;
      counts.labelsEqual += difference.labelsEqual;
      metrics.difference(model.version, difference);
      settle('compared');
    } catch (error) {
      // it waited too long, or too many wait
      const isPressure =
        isAppError(error) && (error.code === 'deadline_exceeded' || error.code === 'queue_full');
      settle(isPressure ? 'dropped' : 'failed');
    }
  }

  function take(shadow: RolloutShadow, tally: RolloutTally, request: ShadowRequest): void {
    const { model: primary, inputs, answer } = request;
    const counts = tally.shadow(shadow.version);
    counts.offered += 1;
    const settle = (end: ShadowEnd): void => {
      tally.shadow(shadow.version)[end] += 1;
      metrics.end({ ...primary.version, version: shadow.version }, end);
    };
    const model = loadedOf(servedNameOf(primary.version), shadow.version);
    if (model === undefined) {
      // this one pays for all that come while the version is loaded
      if (!open(servedNameOf(primary.version), shadow.version, settle)) settle('dropped');
      return;
    }
    const size = [...inputs, ...answer].reduce((total, tensor) => total + tensorBytes(tensor), 0);
    // requests that wait go before copies
    const isBusy = primary.served.queue.stats().depth > 0 || !budget.has();
    if (isBusy || copies >= COPIES_MAX || bytes + size > BYTES_MAX) {
      settle('dropped');
      return;
    }
    const own = spend(() => inputsFor(model.served.signature, inputs)?.map(copyOf));
    if (own === undefined) {
      settle('incomparable');
      return;
    }
    copies += 1;
    bytes += size;
    // the answer is written first
    setImmediate(() => {
      void run(model, own, request, { counts, settle }).finally(() => {
        copies -= 1;
        bytes -= size;
      });
    });
  }

  return {
    offer({ shadow }, tally, request) {
      if (shadow === undefined || request.model.version.version === shadow.version) return;
      if (Math.random() * 100 < shadow.percent) take(shadow, tally, request);
    },
  };
}
