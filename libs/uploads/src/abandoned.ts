import type { Database } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import type { PartUploadRow } from './part-upload.columns.ts';
import type { PartUploadRepository } from './part-upload.repository.ts';

/** Uploads that one call looks at. */
const LOOK_MAX = 1_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Gives up what a process that was killed between the object store and the database left begun: uploads under
 * `folder` older than `olderThanMs` that no row knows as unfinished. Returns how many files there were.
 */
export async function abandonOrphans<Row extends PartUploadRow>(options: {
  database: Database;
  rows: PartUploadRepository<Row>;
  storage: Storage;
  folder: string;
  olderThanMs: number;
}): Promise<number> {
  const { database, rows, storage, folder, olderThanMs } = options;
  const idOf = (key: string): string => key.slice(folder.length).split('/')[0] ?? '';
  const isOld = (at: Date): boolean => Date.now() - at.getTime() > olderThanMs;
  const begun = (await storage.listPartUploads(folder, LOOK_MAX)).filter(({ startedAt }) => isOld(startedAt));
  const listed = await storage.listDated(folder, { limit: LOOK_MAX });
  const stored = listed.items.filter(({ modifiedAt }) => isOld(modifiedAt));
  const ids = new Set([...begun, ...stored].map(({ key }) => idOf(key)));
  const active = await rows.activeOf(
    database.db,
    [...ids].filter((id) => UUID.test(id)),
  );
  let count = 0;
  for (const { key, uploadId } of begun.filter((one) => !active.has(idOf(one.key)))) {
    await storage.abortParts(key, uploadId);
    count += 1;
  }
  for (const { key } of stored.filter((one) => !active.has(idOf(one.key)))) {
    await storage.deleteObject(key);
    count += 1;
  }
  return count;
}
