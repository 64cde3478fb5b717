import type { ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { servedNameOf } from '../models/served-name.ts';

/** Models that are remembered as unloaded; the one unloaded longest ago is then served on demand again. */
const MODELS_MAX = 10_000;

type Withdrawal = {
  /** Every version is out of service but those that were restored. */
  isWhole: boolean;
  withdrawn: Map<string, ResolvedVersion>;
  restored: Set<string>;
};

/** Versions that somebody unloaded by served name: requests do not bring them back, only a load does. */
export type Withdrawals = {
  /** Throws `model_not_ready` when the version was unloaded by name. */
  assertServed(version: ResolvedVersion): void;
  withdraw(version: ResolvedVersion): void;
  /** Takes all of a model out of service; `known` are its versions to show as such. */
  withdrawModel(model: string, known: readonly ResolvedVersion[]): void;
  restore(version: ResolvedVersion): void;
  restoreModel(model: string): void;
  list(): ResolvedVersion[];
};

/** Remembers what was unloaded by name, within this process. */
export function createWithdrawals(): Withdrawals {
  const models = new Map<string, Withdrawal>();

  function of(model: string): Withdrawal {
    const held = models.get(model);
    if (held !== undefined) return held;
    const fresh: Withdrawal = { isWhole: false, withdrawn: new Map(), restored: new Set() };
    models.set(model, fresh);
    if (models.size > MODELS_MAX) models.delete(models.keys().next().value as string);
    return fresh;
  }

  return {
    assertServed(version) {
      if (models.size === 0) return;
      const { model, modelVersionId, ordinal } = version;
      const held = models.get(servedNameOf(version));
      if (held === undefined) return;
      const isOut = held.isWhole ? !held.restored.has(modelVersionId) : held.withdrawn.has(modelVersionId);
      if (!isOut) return;
      throw new AppError(
        'model_not_ready',
        `Version ${ordinal} of "${model}" was unloaded; load it with POST /v2/repository/models/{model}/versions/${ordinal}/load.`,
      );
    },
    withdraw(version) {
      const held = of(servedNameOf(version));
      held.withdrawn.set(version.modelVersionId, version);
      held.restored.delete(version.modelVersionId);
    },
    withdrawModel(model, known) {
      const held = of(model);
      held.isWhole = true;
      held.restored.clear();
      for (const version of known) held.withdrawn.set(version.modelVersionId, version);
    },
    restore(version) {
      const name = servedNameOf(version);
      const held = models.get(name);
      if (held === undefined) return;
      held.withdrawn.delete(version.modelVersionId);
      if (held.isWhole) held.restored.add(version.modelVersionId);
      else if (held.withdrawn.size === 0) models.delete(name);
    },
    restoreModel(model) {
      models.delete(model);
    },
    list: () => [...models.values()].flatMap(({ withdrawn }) => [...withdrawn.values()]),
  };
}
