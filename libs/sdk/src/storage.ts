import { AppError } from '@millrace/contracts';
import type { Transport } from './transport.ts';

/** Reading every owner's tables for a page of blobs takes long (ms). */
const PAGE_TIMEOUT_MS = 120_000;

type Amount = { objects: number; sizeBytes: number };

/** What a collection of unneeded files did, or with `dryRun` would have done. */
export type StorageCollection = {
  dryRun: boolean;
  examined: number;
  kept: number;
  quarantined: Amount;
  restored: Amount;
  freed: Amount;
  /** Left of uploads that were broken off; deleted. */
  abandoned: Amount;
};

/** Care of the object store; for keys with the scope `operate`. */
export function createStorageClient({ call }: Transport) {
  return {
    /** Collects files that nothing refers to, page by page, and gives the sum. */
    async collect(options: { dryRun?: boolean; signal?: AbortSignal } = {}): Promise<StorageCollection> {
      const { dryRun = false, signal } = options;
      const nothing = (): Amount => ({ objects: 0, sizeBytes: 0 });
      const total: StorageCollection = {
        dryRun,
        examined: 0,
        kept: 0,
        quarantined: nothing(),
        restored: nothing(),
        freed: nothing(),
        abandoned: nothing(),
      };
      for (let after: string | null | undefined; after !== null; ) {
        if (signal?.aborted === true)
          throw new AppError('request_cancelled', 'The collection was given up by its signal.');
        const body = { dryRun, ...(after === undefined ? {} : { after }) };
        const page: StorageCollection & { next: string | null } = await call(
          'POST',
          '/v1/storage/collections',
          {
            body,
            timeoutMs: PAGE_TIMEOUT_MS,
          },
        );
        total.examined += page.examined;
        total.kept += page.kept;
        for (const part of ['quarantined', 'restored', 'freed', 'abandoned'] as const) {
          total[part].objects += page[part].objects;
          total[part].sizeBytes += page[part].sizeBytes;
        }
        after = page.next;
      }
      return total;
    },
  };
}
