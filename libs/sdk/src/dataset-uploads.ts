import { setTimeout as sleep } from 'node:timers/promises';
import type { WireError } from '@millrace/contracts';
import { AppError, appErrorFrom } from '@millrace/contracts';
import type { PartAddress, SendProgress, UploadSource } from './part-sender.ts';
import { describeFiles, digestFiles, sendParts } from './part-sender.ts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** How often the state of an upload that is taken in is asked for (ms). */
const POLL_MS = 400;

/** An upload of a dataset's files in parts, where it stands. */
export type DatasetUpload = {
  id: string;
  datasetId: string;
  state: 'open' | 'completing' | 'completed' | 'failed' | 'aborted' | 'expired';
  files: { name: string; sizeBytes: number; sha256: string; parts: number }[];
  versionId: string | null;
  /** The files were a version already. */
  isReused: boolean;
  error: WireError | null;
  createdAt: string;
  expiresAt: string;
};

export type DatasetUploadProgress = SendProgress & {
  /** Is told what is being done: hashing, sending, taking-in. */
  onPhase?: (phase: 'hashing' | 'sending' | 'taking-in') => void;
};

/** Uploads into datasets of any size, which go on where they were cut off. */
export function createDatasetUploadsClient({ call }: Transport, fetchFrom: typeof fetch = fetch) {
  const all = (datasetId: string) => `/v1/datasets/${encodeURIComponent(datasetId)}/uploads`;
  const one = (datasetId: string, id: string) => `${all(datasetId)}/${encodeURIComponent(id)}`;
  const get = async (datasetId: string, id: string) => await call<DatasetUpload>('GET', one(datasetId, id));
  const complete = async (datasetId: string, id: string) =>
    await call<DatasetUpload>('POST', `${one(datasetId, id)}/complete`, {
      headers: { prefer: 'respond-async' },
    });

  async function takenIn(datasetId: string, id: string, signal?: AbortSignal): Promise<DatasetUpload> {
    for (let upload = await complete(datasetId, id); ; upload = await get(datasetId, id)) {
      if (upload.state === 'completed') return upload;
      if (upload.state === 'failed') throw appErrorFrom(upload.error ?? {});
      // whoever took it in went away, or found a part missing: asking again says which
      if (upload.state !== 'completing') await complete(datasetId, id);
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
    }
  }

  return {
    uploads: async (datasetId: string, query: PageQuery = {}) =>
      await call<Page<DatasetUpload>>('GET', all(datasetId), { query }),
    getUpload: get,
    /** Gives an upload up; nothing of it stays. */
    abortUpload: async (datasetId: string, id: string) =>
      await call<DatasetUpload>('DELETE', one(datasetId, id)),

    /**
     * Uploads files of any size as a version of their own. Cut off by a signal or a lost connection it stays open for
     * a day, and the same call sends only what is missing; files that are a version already are not sent again.
     * @throws AppError of the platform, `storage_unavailable`, `checksum_mismatch`, `request_cancelled`
     */
    async send(
      datasetId: string,
      sources: readonly UploadSource[],
      progress: DatasetUploadProgress = {},
    ): Promise<DatasetUpload> {
      progress.onPhase?.('hashing');
      const files = await digestFiles(sources);
      const begun = await call<DatasetUpload & { parts: Page<PartAddress> }>('POST', all(datasetId), {
        body: { files: describeFiles(files) },
        isRepeatable: true,
      });
      if (begun.state === 'completed') return begun;
      if (begun.state === 'open') {
        progress.onPhase?.('sending');
        const nextPage = async (cursor: string) =>
          await call<Page<PartAddress>>('GET', `${one(datasetId, begun.id)}/parts`, { query: { cursor } });
        await sendParts(begun.parts, nextPage, files, progress, fetchFrom);
      }
      progress.onPhase?.('taking-in');
      try {
        return await takenIn(datasetId, begun.id, progress.signal);
      } catch (error) {
        if (progress.signal?.aborted !== true) throw error;
        throw new AppError('request_cancelled', 'The upload was given up by its signal.', { cause: error });
      }
    },
  };
}
