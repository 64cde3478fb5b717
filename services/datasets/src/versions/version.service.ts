import type { Outbox } from '@millrace/bus';
import type { ArtifactRef, JobResult, WireError } from '@millrace/contracts';
import { AppError, DatasetVersionFailed, DatasetVersionReady, isValidName, newId } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { lockName } from '@millrace/database';
import { createManifest, packageDigest } from '@millrace/integrity';
import type { JobRow, JobService } from '@millrace/jobs';
import { specDigest } from '@millrace/jobs';
import type { RecipeCatalog } from '@millrace/recipes';
import type { QuotaOf } from '@millrace/service-kit';
import { assertQuota } from '@millrace/service-kit';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import type { DatasetRow, FeaturesSource, VersionRow } from '../datasets/dataset.table.ts';

export type GeneratorRequest = {
  tenant: string;
  name: string;
  recipe: string;
  params: Record<string, unknown>;
  /** A pipeline that waits for the version. */
  requestId?: string;
};

export type VersionServiceOptions = {
  database: Database;
  datasets: DatasetRepository;
  outbox: Outbox;
  recipes: RecipeCatalog;
  /** Looked up when needed: the job service's hooks point back here. */
  jobs: () => JobService;
  /** Bounds of tenants. */
  quotaOf?: QuotaOf;
};

export type VersionService = ReturnType<typeof createVersionService>;

/** The rules of dataset versions: made once, named by digest, never changed. */
export function createVersionService(options: VersionServiceOptions) {
  const { database, datasets, outbox, recipes } = options;

  async function tellReady(
    tx: Executor,
    dataset: DatasetRow,
    version: VersionRow,
    requestId?: string,
    isReused = false,
  ) {
    if (version.digest === null || version.files === null) return;
    await outbox.append(
      tx,
      DatasetVersionReady,
      version.id,
      {
        datasetId: dataset.id,
        versionId: version.id,
        name: dataset.name,
        ordinal: version.ordinal,
        digest: version.digest,
        files: version.files,
        isReused,
        ...(requestId === undefined ? {} : { requestId }),
      },
      { tenant: dataset.tenant },
    );
  }

  async function ready(
    tx: Executor,
    versionId: string,
    files: readonly ArtifactRef[],
    meta: Record<string, unknown>,
  ) {
    const manifest = createManifest(files);
    const version = await datasets.markReady(tx, versionId, {
      digest: packageDigest(manifest),
      files: [...manifest.files],
      sizeBytes: manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0),
      meta,
    });
    if (version === undefined) return undefined;
    const found = await datasets.findVersion(tx, versionId);
    if (found === undefined) return undefined;
    const requests = await datasets.requests(tx, versionId);
    if (requests.length === 0) await tellReady(tx, found.dataset, version);
    for (const requestId of requests) await tellReady(tx, found.dataset, version, requestId);
    return found;
  }

  async function tellFailed(tx: Executor, failed: VersionRow, error: WireError, tenant: string) {
    const requests = await datasets.requests(tx, failed.id);
    for (const requestId of requests.length === 0 ? [undefined] : requests) {
      const { datasetId, id: versionId } = failed;
      const data = { datasetId, versionId, error, ...(requestId === undefined ? {} : { requestId }) };
      await outbox.append(tx, DatasetVersionFailed, versionId, data, { tenant });
    }
  }

  /** A version that is just made is counted; one that a job will make is refused where nothing more fits already. */
  async function assertRoom(tx: Executor, tenant: string, more = 0): Promise<void> {
    await assertQuota(options.quotaOf?.(tenant) ?? {}, 'datasetBytes', more, async () => {
      await lockName(tx, `quota:datasetBytes:${tenant}`);
      return datasets.bytesOf(tx, tenant);
    });
  }

  function assertName(name: string): void {
    if (!isValidName(name)) {
      throw new AppError(
        'invalid_name',
        'A dataset name has 1 to 255 characters without slash, backslash, colon or control characters.',
      );
    }
  }

  return {
    assertName,
    assertRoom,

    /** @throws AppError `quota_reached` where so many bytes more are over the tenant's bound */
    assertFits: (tenant: string, sizeBytes: number): Promise<void> =>
      database.transaction((tx) => assertRoom(tx, tenant, sizeBytes)),

    /** The version of exactly these uploaded files, if there is one. */
    findUploaded: (datasetId: string, files: readonly ArtifactRef[]): Promise<VersionRow | undefined> =>
      datasets.findBySource(database.db, datasetId, uploadDigest(files)),

    /** A version made by a recipe's generator: an equal one that is ready or on its way is given back. */
    async generate(
      tx: Executor,
      request: GeneratorRequest,
    ): Promise<{ dataset: DatasetRow; version: VersionRow; isReused: boolean }> {
      assertName(request.name);
      const { version: recipeVersion, pool, params } = recipes.resolveDataset(request.recipe, request.params);
      const source = { type: 'generator' as const, recipe: request.recipe, recipeVersion, params };
      const sourceSha256 = specDigest(source);
      const { dataset } = await datasets.upsert(tx, {
        id: newId(),
        tenant: request.tenant,
        name: request.name,
        description: '',
      });
      await datasets.lock(tx, dataset.id);
      const existing = await datasets.findBySource(tx, dataset.id, sourceSha256);
      if (existing !== undefined) {
        if (request.requestId !== undefined) {
          if (existing.state === 'ready') await tellReady(tx, dataset, existing, request.requestId, true);
          else await datasets.addRequest(tx, existing.id, request.requestId);
        }
        return { dataset, version: existing, isReused: true };
      }
      await assertRoom(tx, request.tenant, 1);
      const versionId = newId();
      const jobId = newId();
      const version = await datasets.insertVersion(tx, {
        id: versionId,
        datasetId: dataset.id,
        source,
        sourceSha256,
        jobId,
      });
      if (request.requestId !== undefined) await datasets.addRequest(tx, versionId, request.requestId);
      await options.jobs().create(tx, {
        id: jobId,
        pool,
        tenant: request.tenant,
        spec: { datasetId: dataset.id, versionId, recipe: request.recipe, params },
      });
      return { dataset, version, isReused: false };
    },

    /** A version of uploaded files, or of a training set: equal files give the version there is. */
    upload(
      tenant: string,
      datasetId: string,
      files: readonly ArtifactRef[],
      source: { type: 'upload' } | FeaturesSource = { type: 'upload' },
    ): Promise<{ version: VersionRow; isReused: boolean }> {
      const sourceSha256 = uploadDigest(files);
      return database.transaction(async (tx) => {
        if ((await datasets.find(tx, tenant, datasetId)) === undefined) {
          throw new AppError('dataset_not_found', `There is no dataset ${datasetId}.`);
        }
        await datasets.lock(tx, datasetId);
        const existing = await datasets.findBySource(tx, datasetId, sourceSha256);
        if (existing !== undefined) return { version: existing, isReused: true };
        const id = newId();
        await datasets.insertVersion(tx, {
          id,
          datasetId,
          source,
          sourceSha256,
          jobId: null,
        });
        const found = await ready(tx, id, files, {});
        await assertRoom(tx, tenant);
        if (found === undefined) throw new AppError('internal', 'An uploaded dataset version vanished.');
        return { version: found.version, isReused: false };
      });
    },

    /** Hook of the ingest job: its files are the version. */
    async onJobSucceeded(tx: Executor, job: JobRow, result: JobResult): Promise<void> {
      const version = await datasets.findVersionByJob(tx, job.id);
      if (version === undefined) return;
      const { rejected } = result.meta;
      if (typeof rejected !== 'string') {
        await ready(tx, version.id, result.files, result.meta);
        return;
      }
      const error = { code: 'dataset_rejected', message: rejected };
      const failed = await datasets.markRejected(tx, version.id, {
        error,
        files: result.files,
        sizeBytes: result.files.reduce((sum, file) => sum + file.sizeBytes, 0),
        meta: result.meta,
      });
      if (failed !== undefined) await tellFailed(tx, failed, error, job.tenant);
    },

    /** Hook of the ingest job: everybody who waits learns the reason. */
    async onJobFailed(tx: Executor, job: JobRow, error: WireError): Promise<void> {
      const version = await datasets.findVersionByJob(tx, job.id);
      if (version === undefined) return;
      const failed = await datasets.markFailed(tx, version.id, error);
      if (failed === undefined) return;
      await tellFailed(tx, failed, error, job.tenant);
    },
  };
}

/** Digest of uploaded files as the source of a version. @throws AppError those of a manifest */
function uploadDigest(files: readonly ArtifactRef[]): string {
  return specDigest({ type: 'upload', digest: packageDigest(createManifest(files)) });
}
