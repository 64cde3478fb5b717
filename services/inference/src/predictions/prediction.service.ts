import type { ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import type { QueueAnswer } from '../engine/request-queue.ts';
import type { LoadedModel, ModelStore } from '../models/model-store.ts';
import type { VersionResolver } from '../models/version-resolver.ts';
import { assertServable } from '../packages/verify-package.ts';
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
};

export type PredictionInput = {
  model: LoadedModel;
  inputs: readonly Tensor[];
  /** Outputs wanted; all when absent. */
  outputs?: readonly string[];
  /** When the body was complete (`performance.now()`). */
  startedAt: number;
  deadlineMs?: number;
  userId?: string;
  sessionId?: string;
};

export type PredictionService = {
  /** The loaded model that a request means. Throws the errors of the resolver and the store. */
  model(name: string, version: string | undefined): Promise<LoadedModel>;
  /** Runs a prediction and reports it. Throws the errors of the queue, `invalid_shape` and `batch_too_large`. */
  predict(input: PredictionInput): Promise<Answer>;
};

const roundMs = (ms: number): number => Math.round(ms * 1000) / 1000;

/** The rules of a prediction, without HTTP. */
export function createPredictionService(deps: {
  resolver: VersionResolver;
  store: ModelStore;
  publisher: PredictionPublisher;
  metrics: PredictionMetrics;
  rowsMax: number;
  deadlineMs: number;
}): PredictionService {
  const { resolver, store, publisher, metrics } = deps;

  function report(input: PredictionInput, answer: Answer, queued: QueueAnswer): void {
    const { version } = answer;
    metrics.observe(version, queued, answer.latencyMs);
    const { inferenceId, latencyMs, confidence } = answer;
    const caller = {
      ...(input.userId !== undefined && { userId: input.userId }),
      ...(input.sessionId !== undefined && { sessionId: input.sessionId }),
    };
    const time = new Date().toISOString();
    publisher.record(version, () => ({
      inferenceId,
      time,
      latencyMs,
      confidence,
      ...caller,
      inputs: input.inputs.map((tensor, i) => summarise(tensor, queued.inputDigests?.[i])),
      outputs: answer.outputs.map((tensor) => summarise(tensor)),
    }));
  }

  return {
    async model(name, label) {
      const version = resolver.peek(name, label) ?? (await resolver.resolve(name, label));
      assertServable(version);
      return store.peek(version.modelVersionId) ?? store.load(version);
    },
    async predict(input) {
      const { served, version } = input.model;
      try {
        const rows = rowCount(served.signature, input.inputs, deps.rowsMax);
        const queued = await served.queue.submit({
          inputs: input.inputs,
          rows,
          deadlineMs: Math.min(input.deadlineMs ?? deps.deadlineMs, deps.deadlineMs),
          ...(input.outputs !== undefined && { outputs: input.outputs }),
        });
        const { outputs } = queued;
        const latencyMs = roundMs(performance.now() - input.startedAt);
        const answer = {
          inferenceId: newId(),
          version,
          outputs,
          confidence: confidenceOf(outputs),
          latencyMs,
        };
        report(input, answer, queued);
        return answer;
      } catch (error) {
        metrics.fail(version, error);
        throw error;
      }
    },
  };
}
