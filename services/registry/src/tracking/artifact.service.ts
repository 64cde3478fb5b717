import type { Readable } from 'node:stream';
import { AppError, isAppError, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Storage, UploadedPart } from '@millrace/storage';
import type { WorkLimit } from '../uploads/work-limit.ts';
import type { ArtifactRepository, FolderEntry, NewArtifact, UploadRow } from './artifact.repository.ts';
import { artifactPath } from './artifact-path.ts';

/** Entries of one folder that a listing shows; MLflow's clients know no second page. */
const ENTRIES_MAX = 10_000;
/** Parts of one upload that goes to the object store directly: 10 GB at the 10 MB that MLflow's client cuts. */
const PARTS_MAX = 1_000;
/** How long the address of a part, or of a file, works. */
const ADDRESS_SECONDS = 3_600;
/** The longest upload takes less; until then what nothing points to may still be in use. */
const GARBAGE_AGE_MS = 24 * 3_600_000;
const SWEEP_MAX = 500;

export type Artifact = Pick<NewArtifact, 'path' | 'objectKey' | 'sizeBytes' | 'sha256'>;
export type ArtifactService = ReturnType<typeof createArtifactService>;

/** Files of runs and logged models: bytes in, bytes out, never looked into. */
export function createArtifactService(deps: {
  database: Database;
  artifacts: ArtifactRepository;
  storage: Storage;
  /** Largest file in bytes. */
  bytesMax: number;
  /** How many files come in at once. */
  limit: WorkLimit;
}) {
  const { database, artifacts, storage, bytesMax, limit } = deps;
  const { db } = database;

  async function find(tenant: string, raw: string): Promise<Artifact> {
    const path = artifactPath(raw);
    const row = await artifacts.find(db, tenant, path);
    if (row === undefined) throw new AppError('artifact_not_found', `No artifact lies at '${path}'.`);
    return row;
  }

  async function findUpload(tenant: string, uploadId: string, raw: string): Promise<UploadRow> {
    const upload = await artifacts.findUpload(db, tenant, uploadId);
    if (upload?.path === artifactPath(raw)) return upload;
    throw new AppError('artifact_not_found', 'No upload to this path has this upload_id; begin it again.');
  }

  async function giveUp(upload: UploadRow): Promise<void> {
    await storage.abortParts(upload.objectKey, upload.uploadId);
    await artifacts.removeUpload(db, upload.uploadId);
  }

  return {
    find,

    /** Keeps a stream as a file, in place of one that is there; nothing changes unless all of it came. */
    async put(tenant: string, raw: string, source: Readable): Promise<void> {
      const path = fileAt(raw);
      const objectKey = newObjectKey();
      await artifacts.announce(db, objectKey);
      const { sizeBytes, sha256 } = await limit(() =>
        storage.writeObject(objectKey, source, { maxBytes: bytesMax }),
      );
      await database.transaction((tx) => artifacts.put(tx, { tenant, path, objectKey, sizeBytes, sha256 }));
    },

    async open(tenant: string, raw: string): Promise<{ sizeBytes: number; body: Readable }> {
      const { objectKey, sizeBytes } = await find(tenant, raw);
      return { sizeBytes, body: await storage.readObject(objectKey) };
    },

    /** What lies directly in a folder; nothing for a file, as MLflow's servers answer. */
    async list(tenant: string, raw: string): Promise<FolderEntry[]> {
      const path = artifactPath(raw);
      const entries = await artifacts.entries(db, tenant, path, ENTRIES_MAX + 1);
      if (entries.length <= ENTRIES_MAX) return entries;
      throw new AppError(
        'invalid_request',
        `The folder '${path}' has more than ${ENTRIES_MAX} entries, which no listing shows; name its files.`,
      );
    },

    /** All files at or below a path, at most `limit`. */
    files: async (tenant: string, raw: string, limit: number): Promise<Artifact[]> =>
      await artifacts.list(db, tenant, artifactPath(raw), limit),

    async remove(tenant: string, raw: string): Promise<void> {
      const path = fileAt(raw);
      const count = await database.transaction((tx) => artifacts.remove(tx, tenant, path));
      if (count === 0) throw new AppError('artifact_not_found', `No artifact lies at '${path}'.`);
    },

    /** An address that gives the file to whoever has it. */
    async presign(tenant: string, raw: string): Promise<{ url: string; sizeBytes: number }> {
      const { objectKey, sizeBytes } = await find(tenant, raw);
      const url = await storage.presignGet(objectKey, { expiresSeconds: ADDRESS_SECONDS });
      return { url, sizeBytes };
    },

    /** Begins an upload whose parts the client sends to the object store itself. */
    async beginUpload(tenant: string, raw: string, parts: number) {
      if (parts > PARTS_MAX)
        throw new AppError(
          'invalid_request',
          `An upload has at most ${PARTS_MAX} parts; send larger ones (MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE).`,
        );
      const path = fileAt(raw);
      const objectKey = newObjectKey();
      const uploadId = await storage.beginParts(objectKey);
      await artifacts.addUpload(db, { uploadId, tenant, path, objectKey, parts });
      const numbers = Array.from({ length: parts }, (_, index) => index + 1);
      const urls = await Promise.all(
        numbers.map(async (number) => ({
          number,
          url: await storage.presignPart(objectKey, uploadId, number, ADDRESS_SECONDS),
        })),
      );
      return { uploadId, parts: urls };
    },

    async completeUpload(
      tenant: string,
      raw: string,
      uploadId: string,
      parts: readonly UploadedPart[],
    ): Promise<void> {
      const upload = await findUpload(tenant, uploadId, raw);
      const { path, objectKey } = upload;
      await artifacts.announce(db, objectKey);
      await storage.completeParts(objectKey, uploadId, parts);
      const head = await storage.headObject(objectKey);
      if (head === null)
        throw new AppError('storage_unavailable', 'The object store lost the upload; send it again.');
      const isTooLarge = head.sizeBytes > bytesMax;
      try {
        await database.transaction(async (tx) => {
          await artifacts.removeUpload(tx, uploadId);
          if (!isTooLarge)
            await artifacts.put(tx, { tenant, path, objectKey, sizeBytes: head.sizeBytes, sha256: null });
        });
      } catch (error) {
        // refused for good: its parts are one object now, which was announced and so is swept
        if (isAppError(error) && !error.retryable) await artifacts.removeUpload(db, uploadId);
        throw error;
      }
      if (isTooLarge)
        throw new AppError('payload_too_large', `The file is over the bound of ${bytesMax} bytes.`, {
          details: { limitBytes: bytesMax },
        });
    },

    async abortUpload(tenant: string, raw: string, uploadId: string): Promise<void> {
      await giveUp(await findUpload(tenant, uploadId, raw));
    },

    /** Removes objects that nothing has pointed to for a day, and uploads that nobody completed. */
    async sweep(nowMs: number): Promise<number> {
      const before = new Date(nowMs - GARBAGE_AGE_MS);
      for (const upload of await artifacts.oldUploads(db, before, SWEEP_MAX)) await giveUp(upload);
      const keys = (await artifacts.oldGarbage(db, before, SWEEP_MAX)).map(({ objectKey }) => objectKey);
      for (const key of keys) await storage.deleteObject(key);
      if (keys.length > 0) await artifacts.forget(db, keys);
      return keys.length;
    },
  };
}

/** Each write goes to a key of its own, which no path of a client is part of. */
const newObjectKey = (): string => `mlflow/${newId()}`;

function fileAt(raw: string): string {
  const path = artifactPath(raw);
  if (path === '') throw new AppError('invalid_artifact_path', 'The root is no file; name one.');
  return path;
}
