import { AppError } from '@millrace/contracts';
import type { Storage } from '@millrace/storage';
import { CHECKSUM_HEADER, checksumOf } from '@millrace/storage';
import type { PartFileRequest } from './part-plan.ts';
import { plannedParts } from './part-plan.ts';
import type { PartFile } from './part-upload.columns.ts';

/** Life of the address of a part; asking again gives a new one (s). */
const ADDRESS_SECONDS = 3_600;

/** The address of a part, what must be sent with it, and whether the object store has that part already. */
export type PartAddress = {
  file: string;
  number: number;
  sizeBytes: number;
  url: string;
  headers: Record<string, string>;
  isStored: boolean;
};

type Files = { id: string; files: readonly PartFile[] };

export type PartTransfer = ReturnType<typeof createPartTransfer>;

/** What happens in the object store to the files of an upload, which lie under `<folder><upload>/`. */
export function createPartTransfer(storage: Storage, folder: string) {
  /** Sizes of the parts of a file that have come, by number. */
  async function sizesOf({ key, storageUploadId }: PartFile): Promise<Map<number, number>> {
    const stored = await storage.storedParts(key, storageUploadId);
    return new Map(stored.map(({ number, sizeBytes }) => [number, sizeBytes]));
  }

  return {
    /** Begins every file. What was begun is given up when one cannot be. */
    async begin(id: string, files: readonly PartFileRequest[]): Promise<PartFile[]> {
      const begun: PartFile[] = [];
      try {
        for (const [i, file] of files.entries()) {
          const key = `${folder}${id}/${i}`;
          begun.push({ ...file, key, storageUploadId: await storage.beginParts(key, { isChecked: true }) });
        }
      } catch (error) {
        for (const { key, storageUploadId } of begun)
          await storage.abortParts(key, storageUploadId).catch(() => undefined);
        throw error;
      }
      return begun;
    },

    /** Addresses of parts `from` to `to`, counted through all files; `isNew` where none can have come yet. */
    async addresses(
      files: readonly PartFile[],
      from: number,
      to: number,
      isNew = false,
    ): Promise<PartAddress[]> {
      const parts = plannedParts(files, from, to);
      const stored = new Map<PartFile, Map<number, number>>();
      if (!isNew)
        for (const file of new Set(parts.map((part) => part.file))) stored.set(file, await sizesOf(file));
      return await Promise.all(
        parts.map(async ({ file, number, sizeBytes, sha256 }) => ({
          file: file.name,
          number,
          sizeBytes,
          url: await storage.presignPart(file.key, file.storageUploadId, number, ADDRESS_SECONDS, sha256),
          headers: { [CHECKSUM_HEADER]: checksumOf(sha256) },
          isStored: stored.get(file)?.get(number) === sizeBytes,
        })),
      );
    },

    /** Has the object store make one object of the parts. @throws AppError `upload_incomplete` */
    async join(file: PartFile): Promise<void> {
      // whoever was here before may have done it
      if ((await storage.headObject(file.key))?.sizeBytes === file.sizeBytes) return;
      const stored = new Map(
        (await storage.storedParts(file.key, file.storageUploadId)).map((part) => [part.number, part]),
      );
      const parts = plannedParts([file], 0, file.partDigests.length).map(({ number, sizeBytes, sha256 }) => {
        const part = stored.get(number);
        if (part?.sizeBytes === sizeBytes) return { number, etag: part.etag, sha256 };
        throw new AppError(
          'upload_incomplete',
          `Part ${number} of ${file.name} has not come whole; send it and complete the upload again.`,
          { details: { file: file.name, number } },
        );
      });
      await storage.completeParts(file.key, file.storageUploadId, parts);
    },

    /** Frees what lies there for an upload. */
    async discard({ id, files }: Files): Promise<void> {
      for (const { key, storageUploadId } of files) await storage.abortParts(key, storageUploadId);
      await storage.deletePrefix(`${folder}${id}/`);
    },
  };
}
