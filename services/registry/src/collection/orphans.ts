import type { Storage } from '@millrace/storage';
import { BLOB_FOLDER } from '@millrace/storage';
import type { Amount } from './collection.service.ts';

/** Folder of the object store for files on their way; the name of each begins with the id of its upload. */
export const UPLOADS_FOLDER = 'uploads/';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Uploads, and files of uploads, that one call looks at. */
const ORPHANS_MAX = 1_000;

/**
 * What processes that were killed left behind: begun uploads of files, whose parts no list of objects shows, and files
 * of uploads that nobody goes on with.
 */
export function createOrphans(options: {
  storage: Storage;
  graceMs: number;
  /** Those of these uploads in parts that can still be completed. */
  activeUploads(ids: readonly string[]): Promise<ReadonlySet<string>>;
}) {
  const { storage, graceMs, activeUploads } = options;
  const isOld = (at: Date): boolean => Date.now() - at.getTime() > graceMs;
  const idOf = (key: string): string => key.slice(UPLOADS_FOLDER.length).split('/')[0] ?? '';

  async function isNeeded(keys: readonly string[]): Promise<(key: string) => boolean> {
    const ids = new Set(keys.filter((key) => key.startsWith(UPLOADS_FOLDER)).map(idOf));
    const active = await activeUploads([...ids].filter((id) => UUID.test(id)));
    return (key) => active.has(idOf(key));
  }

  return {
    /** Gives them up, or only says how many there are. */
    async collect(dryRun: boolean): Promise<Amount> {
      const amount: Amount = { objects: 0, sizeBytes: 0 };
      const pages = [BLOB_FOLDER, UPLOADS_FOLDER].map((folder) =>
        storage.listPartUploads(folder, ORPHANS_MAX),
      );
      const begun = (await Promise.all(pages)).flat().filter(({ startedAt }) => isOld(startedAt));
      const { items } = await storage.listDated(UPLOADS_FOLDER, { limit: ORPHANS_MAX });
      const stored = items.filter(({ modifiedAt }) => isOld(modifiedAt));
      const needed = await isNeeded([...begun, ...stored].map(({ key }) => key));
      for (const { key, uploadId } of begun) {
        if (needed(key)) continue;
        if (!dryRun) await storage.abortParts(key, uploadId);
        amount.objects += 1;
      }
      for (const { key, sizeBytes } of stored) {
        if (needed(key)) continue;
        if (!dryRun) await storage.deleteObject(key);
        amount.objects += 1;
        amount.sizeBytes += sizeBytes;
      }
      return amount;
    },
  };
}

export type Orphans = ReturnType<typeof createOrphans>;
