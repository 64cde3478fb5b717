import type { ArtifactRef, ResolvedVersion } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import { ENSEMBLE_PATH } from '@millrace/ensemble';
import type { EngineOptions, ServedModel } from '../engine/served-model.ts';
import { openModel } from '../engine/served-model.ts';
import { readEnsemble } from '../ensembles/ensemble-file.ts';
import { loadMembers, memberIdsOf } from '../ensembles/load-members.ts';
import { openEnsemble } from '../ensembles/open-ensemble.ts';
import type { PackageCache } from '../packages/package-cache.ts';
import { readLabels } from '../packages/package-labels.ts';
import type { RottenFileOutcome } from '../packages/refusal-reporter.ts';
import { filesToServe, placeFiles } from '../packages/serving-files.ts';
import { assertServable, verifyPackage } from '../packages/verify-package.ts';
import { servedName, tenantOf } from './served-name.ts';

/** A load that failed is not tried again for this long, unless asked for by name (ms). */
const FAILURE_KEPT_MS = 10_000;
const FAILURES_MAX = 1_000;
/** Faults of the surroundings, or of a member of an ensemble as it stands now: the next request tries again. */
const PASSING: ReadonlySet<string> = new Set([
  'storage_unavailable',
  'dependency_unavailable',
  'shutting_down',
  'model_not_found',
  'version_not_found',
  'stage_not_servable',
]);

/** A version in memory. */
export type LoadedModel = {
  readonly version: ResolvedVersion;
  readonly served: ServedModel;
  /** Names of the classes, where the package has them. */
  readonly labels?: readonly string[];
  readonly loadedAt: Date;
  /** From the request to the answer of the warm-up (ms). */
  readonly loadMs: number;
};

export type ModelStore = {
  /** A version that is loaded already. */
  peek(modelVersionId: string): LoadedModel | undefined;
  /**
   * The version, verified, loaded and warm; loads it at most once at a time. Throws the errors of verifyPackage and
   * openModel, `stage_not_servable`, `artifact_missing`, `artifact_corrupt`, `storage_unavailable`.
   */
  load(version: ResolvedVersion, options?: { isRetried?: boolean }): Promise<LoadedModel>;
  /** Drains and frees a version, after the ensembles that run it; false when it was not loaded. */
  unload(modelVersionId: string): Promise<boolean>;
  list(): LoadedModel[];
  /** Versions on their way in or out. */
  moving(): { version: ResolvedVersion; state: 'LOADING' | 'UNLOADING' }[];
  /** Versions that could not be loaded lately, and why. */
  failures(): { version: ResolvedVersion; error: AppError; at: Date }[];
  close(): Promise<void>;
};

export type ModelStoreOptions = {
  cache: PackageCache;
  engine: EngineOptions;
  publicKeyPem: string;
  modelsMax: number;
  bytesMax: number;
  /** The version that a member of an ensemble is, as it stands now. */
  resolve(model: string, version: string): Promise<ResolvedVersion>;
  /** Is told of files of the node cache that were not what was signed, once they were fetched anew. */
  onRottenFile(outcome: RottenFileOutcome): void;
  /** Is told of every load that failed. */
  onFailure(version: ResolvedVersion, error: AppError): void;
};

/**
 * Keeps models in memory, within a number and a measured size; the one used longest ago leaves first. The members of an
 * ensemble stay for as long as it does, even over these bounds, and leave after it.
 */
export function createModelStore(options: ModelStoreOptions): ModelStore {
  const { cache, engine } = options;
  /** In order of use: the first was used longest ago. */
  const loaded = new Map<string, LoadedModel>();
  const loading = new Map<string, { version: ResolvedVersion; model: Promise<LoadedModel> }>();
  const leaving = new Set<LoadedModel>();
  const failed = new Map<string, { version: ResolvedVersion; error: AppError; at: Date }>();
  /** How many ensembles hold a version. */
  const holds = new Map<string, number>();
  let isClosed = false;

  function hold(ids: readonly string[], count: 1 | -1): void {
    for (const id of ids) {
      const left = (holds.get(id) ?? 0) + count;
      if (left === 0) holds.delete(id);
      else holds.set(id, left);
    }
  }

  function touch(id: string): LoadedModel | undefined {
    const model = loaded.get(id);
    if (model === undefined) return undefined;
    loaded.delete(id);
    loaded.set(id, model);
    return model;
  }

  async function open(version: ResolvedVersion): Promise<ServedModel> {
    const file = verifyPackage(version, options.publicKeyPem);
    if (file.path === ENSEMBLE_PATH) return assemble(tenantOf(version), file);
    const files = filesToServe(version, file);
    return healed(files, async () => openModel(await placeFiles(files, cache), engine));
  }

  async function healed<T>(files: readonly ArtifactRef[], read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      // the copy on this node rotted: fetch it once more before giving up
      if (!isAppError(error) || (error.code !== 'digest_mismatch' && error.code !== 'artifact_missing'))
        throw error;
      for (const { sha256 } of files) await cache.discard(sha256);
      if (error.code === 'artifact_missing') return read();
      return await read().then(
        (healthy) => {
          options.onRottenFile('healed');
          return healthy;
        },
        (cause: unknown) => {
          options.onRottenFile('refused');
          throw cause;
        },
      );
    }
  }

  /** An ensemble, whose members, of the same owner, are loaded and held until it is closed. */
  async function assemble(owner: string, file: ArtifactRef): Promise<ServedModel> {
    const description = await healed([file], () => readEnsemble(file, cache));
    const ids = memberIdsOf(description);
    hold(ids, 1);
    try {
      const resolve = (model: string, label: string) => options.resolve(servedName(owner, model), label);
      const members = await loadMembers(description, { resolve, load });
      const served = await openEnsemble(description, members, engine);
      return { ...served, close: () => served.close().finally(() => hold(ids, -1)) };
    } catch (error) {
      hold(ids, -1);
      throw error;
    }
  }

  /** A member that left meanwhile would never answer. */
  const isWhole = ({ ensemble }: ServedModel): boolean =>
    ensemble?.members.every(({ version, served }) => loaded.get(version.modelVersionId)?.served === served) ??
    true;

  const ensembleOf = (memberId: string): string | undefined =>
    [...loaded].find(([, { served }]) =>
      served.ensemble?.members.some(({ version }) => version.modelVersionId === memberId),
    )?.[0];

  function makeRoom(): void {
    const bytes = (): number =>
      [...loaded.values()].reduce((sum, { served }) => sum + served.runner.residentBytes(), 0);
    while (loaded.size > 1 && (loaded.size > options.modelsMax || bytes() > options.bytesMax)) {
      const newest = [...loaded.keys()].at(-1);
      const found = [...loaded].find(([id]) => id !== newest && !holds.has(id));
      if (found === undefined) return;
      const [id, model] = found;
      loaded.delete(id);
      engine.log('Model unloaded to make room', {
        model: model.version.model,
        version: model.version.version,
      });
      if (model.served.ensemble === undefined) void leave(model);
      // only then may its members leave
      else return void leave(model).then(makeRoom);
    }
  }

  async function leave(model: LoadedModel): Promise<void> {
    leaving.add(model);
    await model.served.close().finally(() => leaving.delete(model));
  }

  async function loadOnce(version: ResolvedVersion): Promise<LoadedModel> {
    const start = performance.now();
    const id = version.modelVersionId;
    try {
      const served = await open(version);
      const labels = await readLabels(version, cache).catch(async (error: unknown) => {
        await served.close();
        throw error;
      });
      const loadMs = performance.now() - start;
      const model = { version, served, loadedAt: new Date(), loadMs, ...(labels && { labels }) };
      if (isClosed) {
        await served.close();
        throw new AppError('shutting_down', 'The service is stopping; try again.');
      }
      if (!isWhole(served)) {
        await served.close();
        throw new AppError('shutting_down', 'A model of the ensemble was unloaded meanwhile; try again.');
      }
      loaded.set(id, model);
      failed.delete(id);
      makeRoom();
      return model;
    } catch (error) {
      const known = isAppError(error)
        ? error
        : new AppError('internal', 'The model could not be loaded.', { cause: error });
      failed.set(id, { version, error: known, at: new Date() });
      options.onFailure(version, known);
      if (failed.size > FAILURES_MAX) failed.delete(failed.keys().next().value as string);
      throw known;
    } finally {
      loading.delete(id);
    }
  }

  async function load(version: ResolvedVersion, { isRetried = false } = {}): Promise<LoadedModel> {
    assertServable(version);
    const id = version.modelVersionId;
    const held = touch(id);
    if (held !== undefined) return held;
    const failure = failed.get(id);
    const isRecent = failure !== undefined && Date.now() - failure.at.getTime() < FAILURE_KEPT_MS;
    if (isRecent && !isRetried && !PASSING.has(failure.error.code)) throw failure.error;
    const running = loading.get(id) ?? { version, model: loadOnce(version) };
    loading.set(id, running);
    return running.model;
  }

  return {
    peek: touch,
    load,
    async unload(id) {
      await loading.get(id)?.model.catch(() => undefined);
      failed.delete(id);
      for (let other = ensembleOf(id); other !== undefined; other = ensembleOf(id)) {
        const ensemble = loaded.get(other) as LoadedModel;
        loaded.delete(other);
        await leave(ensemble);
      }
      const model = loaded.get(id);
      if (model === undefined) return false;
      loaded.delete(id);
      await leave(model);
      return true;
    },
    list: () => [...loaded.values()],
    moving: () => [
      ...[...loading.values()].map(({ version }) => ({ version, state: 'LOADING' as const })),
      ...[...leaving].map(({ version }) => ({ version, state: 'UNLOADING' as const })),
    ],
    failures: () => [...failed.values()],
    async close() {
      isClosed = true;
      await Promise.allSettled([...loading.values()].map(({ model }) => model));
      await Promise.allSettled([...loaded.values()].map(leave));
      loaded.clear();
      engine.spares.close();
    },
  };
}
