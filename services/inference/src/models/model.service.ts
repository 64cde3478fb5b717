import type { Outbox } from '@millrace/bus';
import type { EventData, LoadVersionReply, ModelVersionRegistered } from '@millrace/contracts';
import { type AppError, isAppError, ModelVersionLoaded, ModelVersionLoadFailed } from '@millrace/contracts';
import type { Executor } from '@millrace/database';

type Registered = EventData<typeof ModelVersionRegistered>;
/** The end of a load: how long it took, or why there is no model. */
export type LoadOutcome = { loaded: LoadVersionReply } | { error: AppError };
/** Verifies, loads and warms a version in every process that answers requests. */
export type LoadVersion = (modelVersionId: string) => Promise<LoadVersionReply>;

export type ModelService = {
  /** Loads a version that was registered; a definite refusal is an outcome, a passing fault is thrown. */
  prepare(event: Registered): Promise<LoadOutcome>;
  /** Writes the fact about a load into the outbox. */
  announce(tx: Executor, event: Registered, outcome: LoadOutcome, owner: { tenant: string }): Promise<void>;
};

/** Faults that may pass: the event is delivered again instead of being answered with load-failed. */
const PASSING: ReadonlySet<string> = new Set([
  'dependency_unavailable',
  'storage_unavailable',
  'shutting_down',
]);

/** What happens when a version becomes known. */
export function createModelService(deps: { load: LoadVersion; outbox: Outbox }): ModelService {
  const { load, outbox } = deps;
  return {
    async prepare(event) {
      try {
        return { loaded: await load(event.modelVersionId) };
      } catch (error) {
        if (!isAppError(error) || PASSING.has(error.code)) throw error;
        return { error };
      }
    },
    async announce(tx, event, outcome, owner) {
      const { modelVersionId, modelId, model, version, ordinal, packageDigest } = event;
      const request = event.requestId === undefined ? {} : { requestId: event.requestId };
      const about = { modelVersionId, modelId, model, version, ordinal, ...request };
      if ('error' in outcome) {
        const { code, message, retryable } = outcome.error;
        const failed = { ...about, error: { code, message, retryable } };
        await outbox.append(tx, ModelVersionLoadFailed, modelVersionId, failed, owner);
        return;
      }
      const { loadMs, warmUpMs } = outcome.loaded;
      const loaded = { ...about, packageDigest, loadMs, warmUpMs };
      await outbox.append(tx, ModelVersionLoaded, modelVersionId, loaded, owner);
    },
  };
}
