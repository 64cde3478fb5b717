import type { ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { ResponseCache } from '../cache/response-cache.ts';
import type { LoadedModel, ModelStore } from '../models/model-store.ts';
import { ownerOf, servedNameOf } from '../models/served-name.ts';
import type { VersionResolver } from '../models/version-resolver.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import { configOf, statisticsOf } from './model-views.ts';
import type { IndexEntry, ModelStatistics, ServerControl, VersionState } from './server-control.ts';
import type { Withdrawals } from './withdrawals.ts';

/** What is in the way of a loaded version that is not ready. */
function stateOf({ served }: LoadedModel): { state: VersionState; reason: string } {
  const state = served.runner.state();
  if (state === 'ready') return { state: 'READY', reason: '' };
  if (state === 'closed') return { state: 'UNLOADING', reason: '' };
  const reason = served.runner.fault()?.message ?? 'its model host ended and is being started again';
  return { state: 'UNAVAILABLE', reason };
}

function entry(version: ResolvedVersion, state: VersionState, reason: string): IndexEntry {
  return { name: servedNameOf(version), version: String(version.ordinal), state, reason };
}

/** The server as this process sees it; models go by their served names. */
export function createLocalControl(deps: {
  resolver: VersionResolver;
  store: ModelStore;
  withdrawals: Withdrawals;
  predictions: PredictionService;
  cache: Pick<ResponseCache, 'totals'>;
  rowsMax: number;
}): ServerControl {
  const { resolver, store, withdrawals } = deps;
  const statistics = (model: LoadedModel): ModelStatistics =>
    statisticsOf(model, deps.cache.totals(model.served));
  const loadedOf = (name: string): LoadedModel[] =>
    store.list().filter(({ version }) => servedNameOf(version) === name);

  return {
    async index() {
      const entries = new Map<string, IndexEntry>();
      for (const version of withdrawals.list())
        entries.set(version.modelVersionId, entry(version, 'UNAVAILABLE', 'unloaded'));
      for (const { version, error } of store.failures())
        entries.set(version.modelVersionId, entry(version, 'UNAVAILABLE', error.message));
      for (const loaded of store.list()) {
        const { state, reason } = stateOf(loaded);
        entries.set(loaded.version.modelVersionId, entry(loaded.version, state, reason));
      }
      for (const { version, state } of store.moving())
        entries.set(version.modelVersionId, entry(version, state, ''));
      const byName = (a: IndexEntry, b: IndexEntry): number =>
        a.name < b.name ? -1 : a.name > b.name ? 1 : Number(a.version) - Number(b.version);
      return [...entries.values()].sort(byName);
    },
    async load(name, label) {
      const version = await resolver.resolve(name, label);
      await store.load(version, { isRetried: true });
      if (label === undefined) withdrawals.restoreModel(name);
      else withdrawals.restore(version);
    },
    async unload(name, label) {
      const version = await resolver.resolve(name, label);
      const loaded = loadedOf(name).map((model) => model.version);
      if (label === undefined) withdrawals.withdrawModel(name, [version, ...loaded]);
      else withdrawals.withdraw(version);
      const ids = label === undefined ? loaded.map(({ modelVersionId }) => modelVersionId) : [];
      await Promise.all([...new Set([version.modelVersionId, ...ids])].map((id) => store.unload(id)));
    },
    async statistics(name, label) {
      if (name === undefined) return store.list().map(statistics);
      const version = await resolver.resolve(name, label);
      const loaded = loadedOf(name).filter(
        (model) => label === undefined || model.version.modelVersionId === version.modelVersionId,
      );
      if (loaded.length === 0) {
        throw new AppError(
          'model_not_ready',
          `"${ownerOf(name).model}" is not loaded, so it has no statistics; load it first.`,
        );
      }
      return loaded.map(statistics);
    },
    async config(name, label) {
      return configOf(await deps.predictions.described(name, label), deps.rowsMax);
    },
  };
}
