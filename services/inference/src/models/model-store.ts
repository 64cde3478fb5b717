import type { ResolvedVersion } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { EngineOptions, ServedModel } from '../engine/served-model.ts';
import { openModel } from '../engine/served-model.ts';
import type { PackageCache } from '../packages/package-cache.ts';
import { assertServable, verifyPackage } from '../packages/verify-package.ts';

/** A load that failed is not tried again for this long, unless asked for by name (ms). */
const FAILURE_KEPT_MS = 10_000;
const FAILURES_MAX = 1_000;
/** Faults of the surroundings, not of the version: the next request tries again. */
const PASSING: ReadonlySet<string> = new Set([
  'storage_unavailable',
  'dependency_unavailable',
  'shutting_down',
]);

/** A version in memory. */
export type LoadedModel = {
  readonly version: ResolvedVersion;
  readonly served: ServedModel;
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
  /** Drains and frees a version; false when it was not loaded. */
  unload(modelVersionId: string): Promise<boolean>;
  list(): LoadedModel[];
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
};

/** Keeps models in memory, within a number and a measured size; the one used longest ago leaves first. */
export function createModelStore(options: ModelStoreOptions): ModelStore {
  const { cache, engine } = options;
  /** In order of use: the first was used longest ago. */
  const loaded = new Map<string, LoadedModel>();
  const loading = new Map<string, Promise<LoadedModel>>();
  const failed = new Map<string, { version: ResolvedVersion; error: AppError; at: Date }>();
  let isClosed = false;

  function touch(id: string): LoadedModel | undefined {
    const model = loaded.get(id);
    if (model === undefined) return undefined;
    loaded.delete(id);
    loaded.set(id, model);
    return model;
  }

  async function open(version: ResolvedVersion): Promise<ServedModel> {
    const graph = verifyPackage(version, options.publicKeyPem);
    const path = await cache.fetch(graph.sha256);
    try {
      return await openModel({ path, sha256: graph.sha256 }, engine);
    } catch (error) {
      // the copy on this node rotted: fetch it once more before giving up
      if (!isAppError(error) || (error.code !== 'digest_mismatch' && error.code !== 'artifact_missing'))
        throw error;
      await cache.discard(graph.sha256);
      return openModel({ path: await cache.fetch(graph.sha256), sha256: graph.sha256 }, engine);
    }
  }

  function makeRoom(): void {
    const bytes = (): number =>
      [...loaded.values()].reduce((sum, { served }) => sum + served.runner.residentBytes(), 0);
    while (loaded.size > 1 && (loaded.size > options.modelsMax || bytes() > options.bytesMax)) {
      const [id, model] = loaded.entries().next().value as [string, LoadedModel];
      loaded.delete(id);
      engine.log('Model unloaded to make room', {
        model: model.version.model,
        version: model.version.version,
      });
      void model.served.close();
    }
  }

  async function loadOnce(version: ResolvedVersion): Promise<LoadedModel> {
    const start = performance.now();
    const id = version.modelVersionId;
    try {
      const served = await open(version);
      const model = { version, served, loadedAt: new Date(), loadMs: performance.now() - start };
      if (isClosed) {
        await served.close();
        throw new AppError('shutting_down', 'The service is stopping; try again.');
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
      if (failed.size > FAILURES_MAX) failed.delete(failed.keys().next().value as string);
      throw known;
    } finally {
      loading.delete(id);
    }
  }

  return {
    peek: touch,
    async load(version, { isRetried = false } = {}) {
      assertServable(version);
      const id = version.modelVersionId;
      const held = touch(id);
      if (held !== undefined) return held;
      const failure = failed.get(id);
      const isRecent = failure !== undefined && Date.now() - failure.at.getTime() < FAILURE_KEPT_MS;
      if (isRecent && !isRetried && !PASSING.has(failure.error.code)) throw failure.error;
      const running = loading.get(id) ?? loadOnce(version);
      if (loading.get(id) === undefined) loading.set(id, running);
      return running;
    },
    async unload(id) {
      failed.delete(id);
      const model = loaded.get(id);
      if (model === undefined) return false;
      loaded.delete(id);
      await model.served.close();
      return true;
    },
    list: () => [...loaded.values()],
    failures: () => [...failed.values()],
    async close() {
      isClosed = true;
      await Promise.allSettled(loading.values());
      await Promise.allSettled([...loaded.values()].map((model) => model.served.close()));
      loaded.clear();
      engine.spares.close();
    },
  };
}
