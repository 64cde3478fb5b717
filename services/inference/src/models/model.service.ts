import type { Outbox } from '@millrace/bus';
import type { EventData, LoadVersionReply, ModelVersionRegistered } from '@millrace/contracts';
import { type AppError, isAppError, ModelVersionLoaded, ModelVersionLoadFailed } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { LoadedModel, ModelStore } from './model-store.ts';
import type { VersionResolver } from './version-resolver.ts';

type Registered = EventData<typeof ModelVersionRegistered>;
/** The end of a load: the model, or why there is none. */
export type LoadOutcome = { model: LoadedModel } | { error: AppError };

export type ModelService = {
  /** Verifies, loads and warms a version by its id. Throws what the resolver and the store throw. */
  load(modelVersionId: string): Promise<LoadVersionReply>;
  /** Loads a version that was registered; a definite refusal is an outcome, a passing fault is thrown. */
  prepare(event: Registered): Promise<LoadOutcome>;
  /** Writes the fact about a load into the outbox. */
  announce(tx: Executor, event: Registered, outcome: LoadOutcome): Promise<void>;
};

/** Faults that may pass: the event is delivered again instead of being answered with load-failed. */
const PASSING: ReadonlySet<string> = new Set([
  'dependency_unavailable',
  'storage_unavailable',
  'shutting_down',
]);

/** What happens when a version becomes known. */
export function createModelService(deps: {
  resolver: VersionResolver;
  store: ModelStore;
  outbox: Outbox;
}): ModelService {
  const { resolver, store, outbox } = deps;

  async function load(modelVersionId: string): Promise<LoadedModel> {
    return store.load(await resolver.byId(modelVersionId), { isRetried: true });
  }

  return {
    async load(modelVersionId) {
      const { loadMs, served } = await load(modelVersionId);
      return { modelVersionId, loadMs, warmUpMs: served.measurement.warmUpMs };
    },
    async prepare(event) {
      try {
        return { model: await load(event.modelVersionId) };
      } catch (error) {
        if (!isAppError(error) || PASSING.has(error.code)) throw error;
        return { error };
      }
    },
    async announce(tx, event, outcome) {
      const { modelVersionId, modelId, model, version, ordinal, packageDigest } = event;
      const request = event.requestId === undefined ? {} : { requestId: event.requestId };
      const about = { modelVersionId, modelId, model, version, ordinal, ...request };
      if ('error' in outcome) {
        const { code, message, retryable } = outcome.error;
        await outbox.append(tx, ModelVersionLoadFailed, modelVersionId, {
          ...about,
          error: { code, message, retryable },
        });
        return;
      }
      const { loadMs, served } = outcome.model;
      const warmUpMs = served.measurement.warmUpMs;
      await outbox.append(tx, ModelVersionLoaded, modelVersionId, {
        ...about,
        packageDigest,
        loadMs,
        warmUpMs,
      });
    },
  };
}
