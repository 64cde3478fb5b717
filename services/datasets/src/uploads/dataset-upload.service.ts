import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { specDigest } from '@millrace/jobs';
import type { Storage } from '@millrace/storage';
import type { PartAddress, PartFileRequest, PartUploader, PartUploadRepository } from '@millrace/uploads';
import { abandonOrphans, createPartTransfer, createPartUploads } from '@millrace/uploads';
import { and, eq, inArray } from 'drizzle-orm';
import type { VersionRow } from '../datasets/dataset.table.ts';
import type { DatasetUploadRow, DatasetUploadTable } from './dataset-upload.table.ts';

/** Folder of the object store for files on their way; the name of each begins with the id of its upload. */
export const DATASET_UPLOADS_FOLDER = 'dataset-uploads/';
/** Bytes of all files of an upload, as an ingestion takes them: they pass through a temporary file one by one. */
const UPLOAD_BYTES_MAX = 64 * 1024 ** 3;
/** What no row knows is given up when it is older than any upload lives (ms). */
const ORPHAN_AGE_MS = 48 * 60 * 60_000;
/** How often it is looked for (ms). */
const ORPHAN_EVERY_MS = 60 * 60_000;
/** A second try finds what a first one lost against. */
const BEGIN_ATTEMPTS_MAX = 3;

export type DatasetUploadServiceOptions = {
  database: Database;
  rows: PartUploadRepository<DatasetUploadRow>;
  table: DatasetUploadTable;
  storage: Storage;
  versions: {
    upload(
      tenant: string,
      datasetId: string,
      files: readonly ArtifactRef[],
    ): Promise<{ version: VersionRow; isReused: boolean }>;
    findUploaded(datasetId: string, files: readonly ArtifactRef[]): Promise<VersionRow | undefined>;
    assertFits(tenant: string, sizeBytes: number): Promise<void>;
  };
  logger: { warn(fields: object, message: string): void };
};

/** How a request to begin an upload ends. */
export type BegunUpload = { row: DatasetUploadRow; isNew: boolean };

export type DatasetUploadService = ReturnType<typeof createDatasetUploadService>;

/** Uploads of datasets that survive a broken connection: parts to the object store, then a version of the files. */
export function createDatasetUploadService(options: DatasetUploadServiceOptions) {
  const { database, rows, table, storage, versions, logger } = options;

  /** Reads each file back, which proves its digest, and keeps it under that digest. */
  async function takeIn(row: DatasetUploadRow, by: PartUploader): Promise<Partial<DatasetUploadRow>> {
    for (const { key, sha256, sizeBytes } of row.files)
      await storage.putBlob(await storage.readObject(key), { sha256, sizeBytes, maxBytes: sizeBytes });
    const made = await versions.upload(by.tenant, row.datasetId, refsOf(row.files));
    return { versionId: made.version.id, isReused: made.isReused };
  }

  const engine = createPartUploads<DatasetUploadRow, PartUploader>({
    database,
    rows,
    transfer: createPartTransfer(storage, DATASET_UPLOADS_FOLDER),
    bytesMax: UPLOAD_BYTES_MAX,
    takeIn,
    logger,
  });

  const orphanTimer = setInterval(() => {
    abandonOrphans({
      database,
      rows,
      storage,
      folder: DATASET_UPLOADS_FOLDER,
      olderThanMs: ORPHAN_AGE_MS,
    }).catch((error: unknown) => logger.warn({ err: error }, 'Abandoned uploads could not be looked for.'));
  }, ORPHAN_EVERY_MS);
  orphanTimer.unref();

  async function unfinished(tenant: string, requestSha256: string): Promise<DatasetUploadRow | undefined> {
    const where = and(eq(table.requestSha256, requestSha256), inArray(table.state, ['open', 'completing']));
    return (await engine.list(tenant, { limit: 1, where }))[0];
  }

  return {
    ...engine,

    listOf: (tenant: string, datasetId: string, page: { limit: number; beforeId?: string }) =>
      engine.list(tenant, { ...page, where: eq(table.datasetId, datasetId) }),

    /** @throws AppError `upload_not_found` */
    async findOf(tenant: string, datasetId: string, id: string): Promise<DatasetUploadRow> {
      const row = await engine.find(tenant, id);
      if (row.datasetId === datasetId) return row;
      throw new AppError('upload_not_found', `Dataset ${datasetId} has no upload ${id}.`);
    },

    /**
     * Begins an upload, or gives the unfinished one of the same files to go on with; one whose files are a version
     * already is completed at once.
     * @throws AppError those of the files, `quota_reached`, `upload_limit_reached`
     */
    async begin(
      datasetId: string,
      files: readonly PartFileRequest[],
      by: PartUploader,
    ): Promise<BegunUpload> {
      const requestSha256 = specDigest({ datasetId, files });
      const columns = { fields: {}, datasetId, requestSha256 };
      const existing = await versions.findUploaded(datasetId, refsOf(files));
      for (let attempt = 1; attempt <= BEGIN_ATTEMPTS_MAX; attempt += 1) {
        const open = await unfinished(by.tenant, requestSha256);
        if (open !== undefined) {
          const extended = await rows.extend(database.db, open.id, engine.expiry());
          return { row: extended ?? open, isNew: false };
        }
        if (existing === undefined)
          await versions.assertFits(
            by.tenant,
            files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
          );
        const row =
          existing === undefined
            ? await engine.create(files, by, columns)
            : await engine.createCompleted(files, by, { ...columns, versionId: existing.id, isReused: true });
        if (row !== undefined) return { row, isNew: existing === undefined };
      }
      throw new AppError(
        'upload_limit_reached',
        'Others begin the same upload again and again; wait for them.',
      );
    },

    /** Addresses of parts; of a new upload none can have come. */
    addressesOf:
      ({ row, isNew }: BegunUpload) =>
      (from: number, to: number): Promise<PartAddress[]> =>
        engine.addresses(row, from, to, isNew),

    stop() {
      clearInterval(orphanTimer);
      engine.stop();
    },
  };
}

function refsOf(files: readonly Pick<PartFileRequest, 'name' | 'sha256' | 'sizeBytes'>[]): ArtifactRef[] {
  return files.map(({ name, sha256, sizeBytes }) => ({ path: name, sha256, sizeBytes }));
}
