import type { DatedObject, Storage } from '@millrace/storage';
import { BLOB_FOLDER, QUARANTINE_FOLDER } from '@millrace/storage';
import type { Orphans } from './orphans.ts';
import type { References } from './references.ts';

/** Objects that one call looks at, in each folder; a list page of the object store. */
const PAGE_OBJECTS = 1_000;

/** Objects and their bytes. */
export type Amount = { objects: number; sizeBytes: number };

/** What a call did, or with `dryRun` would have done. */
export type CollectionReport = {
  dryRun: boolean;
  /** Blobs that were looked at. */
  examined: number;
  /** Blobs that somebody refers to, and those that are younger than the grace. */
  kept: number;
  /** Out of use from now on; deleted after another grace unless somebody reads or refers to them. */
  quarantined: Amount;
  /** Back from quarantine, because somebody refers to them after all. */
  restored: Amount;
  /** Deleted for good. */
  freed: Amount;
  /** What nobody goes on with of uploads that were broken off by the end of a process; looked for by the first call. */
  abandoned: Amount;
  /** Where the next call goes on; null when everything was looked at. */
  next: string | null;
};

export type CollectionService = ReturnType<typeof createCollectionService>;

/**
 * Mark and sweep over the blobs of the bucket. Nothing is deleted at once: a blob that nobody refers to is moved to
 * quarantine, from where a read brings it back, and only what still has no reference a grace later is deleted. So an
 * upload that found a blob and refers to it within the grace never loses it, whatever runs in between.
 */
export function createCollectionService(options: {
  storage: Storage;
  references: References;
  orphans: Orphans;
  graceMs: number;
  logger: { info(fields: object, message: string): void };
}) {
  const { storage, references, orphans, graceMs, logger } = options;

  async function page(folder: string, place: string | undefined) {
    const after = place === undefined ? undefined : `${folder}${place}`;
    const { items, isLast } = await storage.listDated(folder, { after, limit: PAGE_OBJECTS });
    const last = items.at(-1);
    const next = isLast || last === undefined ? null : last.key.slice(folder.length);
    return { objects: items.map((item) => ({ ...item, sha256: item.key.slice(-64) })), next };
  }

  const isOld = ({ modifiedAt }: DatedObject): boolean => Date.now() - modifiedAt.getTime() > graceMs;

  async function quarantine(report: CollectionReport, place: string | undefined): Promise<string | null> {
    const { objects, next } = await page(BLOB_FOLDER, place);
    const old = objects.filter(isOld);
    const needed = await references(old.map(({ sha256 }) => sha256));
    const idle = old.filter(({ sha256 }) => !needed.has(sha256));
    report.examined += objects.length;
    report.kept += objects.length - idle.length;
    for (const { sha256, sizeBytes } of idle)
      if (report.dryRun || (await storage.quarantineBlob(sha256))) add(report.quarantined, sizeBytes);
    return next;
  }

  async function purge(report: CollectionReport, place: string | undefined): Promise<string | null> {
    const { objects, next } = await page(QUARANTINE_FOLDER, place);
    const needed = await references(objects.map(({ sha256 }) => sha256));
    for (const object of objects) {
      const { sha256, key, sizeBytes } = object;
      if (needed.has(sha256)) {
        if (report.dryRun || (await storage.restoreBlob(sha256))) add(report.restored, sizeBytes);
      } else if (isOld(object)) {
        if (!report.dryRun) await storage.deleteObject(key);
        add(report.freed, sizeBytes);
      }
    }
    return next;
  }

  return {
    /**
     * Looks at one page of blobs: first those in quarantine, then all others; go on with `next`.
     * @throws AppError `dependency_unavailable` when an owner of blobs does not answer; then nothing was collected
     */
    async collect(request: { dryRun: boolean; after?: string | undefined }): Promise<CollectionReport> {
      const nothing = (): Amount => ({ objects: 0, sizeBytes: 0 });
      const report: CollectionReport = {
        dryRun: request.dryRun,
        examined: 0,
        kept: 0,
        quarantined: nothing(),
        restored: nothing(),
        freed: nothing(),
        abandoned: nothing(),
        next: null,
      };
      if (request.after === undefined) report.abandoned = await orphans.collect(request.dryRun);
      const [phase, place] = readPlace(request.after);
      if (phase === 'quarantined') {
        const next = await purge(report, place);
        report.next = next === null ? 'stored:' : `quarantined:${next}`;
      } else {
        const next = await quarantine(report, place);
        report.next = next === null ? null : `stored:${next}`;
      }
      if (!request.dryRun) logger.info({ ...report }, 'Blobs were collected.');
      return report;
    },
  };
}

function readPlace(after: string | undefined): ['quarantined' | 'stored', string | undefined] {
  const [phase, place] = after?.split(':', 2) ?? [];
  return [phase === 'stored' ? 'stored' : 'quarantined', place === '' ? undefined : place];
}

function add(amount: Amount, sizeBytes: number): void {
  amount.objects += 1;
  amount.sizeBytes += sizeBytes;
}
