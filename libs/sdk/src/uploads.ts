import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage, WireError } from '@millrace/contracts';
import { AppError, appErrorFrom } from '@millrace/contracts';
import type { PartAddress, SendProgress, UploadSource } from './part-sender.ts';
import { describeFiles, digestFiles, sendParts } from './part-sender.ts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** How often the state of an upload that is taken in is asked for (ms). */
const POLL_MS = 500;

/** What the files are: the fields of a model upload. */
export type UploadFields = {
  modelId: string;
  version: string;
  framework: 'onnx' | 'tensorflow';
  stage?: Stage;
  inputSchema?: string;
  outputSchema?: string;
  metadata?: string;
};

/** An upload in parts, where it stands. */
export type PartUpload = {
  id: string;
  modelId: string;
  version: string;
  state: 'open' | 'completing' | 'completed' | 'failed' | 'aborted' | 'expired';
  files: { name: string; sizeBytes: number; sha256: string; parts: number }[];
  modelVersionId: string | null;
  importId: string | null;
  error: WireError | null;
  createdAt: string;
  expiresAt: string;
};

/** An upload that is converted before it becomes a version. */
export type ModelImport = {
  id: string;
  modelId: string;
  version: string;
  state: 'converting' | 'registered' | 'failed' | 'cancelled';
  /** Path of the conversion job, once there is one. */
  conversion: string | null;
  /** Times that a worker took the conversion up. */
  attempts: number;
  /** Else it fails with `import_timeout`. */
  deadlineAt: string;
  modelVersionId: string | null;
  error: WireError | null;
};

/** The end of an upload: a version; by way of a conversion where there is an importId. */
export type UploadedVersion = {
  modelId: string;
  version: string;
  modelVersionId: string | null;
  importId: string | null;
};

export type UploadProgress = SendProgress & {
  /** Is told what is being done: hashing, sending, taking-in, converting. */
  onPhase?: (phase: 'hashing' | 'sending' | 'taking-in' | 'converting') => void;
};

/** Uploads of any size: the parts go straight to the object store. */
export function createUploadsClient({ call }: Transport, fetchFrom: typeof fetch = fetch) {
  const one = (id: string) => `/v1/uploads/${encodeURIComponent(id)}`;
  const get = async (id: string) => await call<PartUpload>('GET', one(id));
  const abort = async (id: string) => await call<PartUpload>('DELETE', one(id));
  const getImport = async (id: string) =>
    await call<ModelImport>('GET', `/v1/imports/${encodeURIComponent(id)}`);
  const cancelImport = async (id: string) =>
    await call<ModelImport>('POST', `/v1/imports/${encodeURIComponent(id)}/cancel`);

  /** Waits until an upload was taken in. Throws what it failed with. */
  async function takenIn(id: string, signal?: AbortSignal): Promise<PartUpload> {
    for (let upload = await get(id); ; upload = await get(id)) {
      if (upload.state === 'completed') return upload;
      if (upload.state === 'failed') throw appErrorFrom(upload.error ?? {});
      if (upload.state !== 'completing') {
        // whoever took it in went away, or found a part missing: asking again says which
        await call('POST', `${one(id)}/complete`, { headers: { prefer: 'respond-async' } });
      }
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
    }
  }

  return {
    list: async (query: PageQuery = {}) => await call<Page<PartUpload>>('GET', '/v1/uploads', { query }),
    get,
    abort,
    import: getImport,

    /** Ends an import and stops its conversion. Throws `import_not_open` when it is over. */
    cancelImport,

    /** Waits until a conversion made a version of an upload. Throws what it failed with. */
    async imported(id: string, { signal }: { signal?: AbortSignal } = {}): Promise<ModelImport> {
      for (let state = await getImport(id); ; state = await getImport(id)) {
        if (state.state === 'registered') return state;
        if (state.state !== 'converting') throw appErrorFrom(state.error ?? {});
        await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
      }
    },

    /**
     * Uploads files of any size as one version and waits until it is registered. A signal ends it wherever it is, its
     * conversion included.
     */
    async send(
      fields: UploadFields,
      sources: readonly UploadSource[],
      progress: UploadProgress = {},
    ): Promise<UploadedVersion> {
      progress.onPhase?.('hashing');
      const files = await digestFiles(sources);
      const begun = await call<PartUpload & { parts: Page<PartAddress> }>('POST', '/v1/uploads', {
        body: { ...fields, files: describeFiles(files) },
      });
      progress.onPhase?.('sending');
      try {
        const nextPage = async (cursor: string) =>
          await call<Page<PartAddress>>('GET', `${one(begun.id)}/parts`, { query: { cursor } });
        await sendParts(begun.parts, nextPage, files, progress, fetchFrom);
      } catch (error) {
        await abort(begun.id).catch(() => undefined);
        throw error;
      }
      progress.onPhase?.('taking-in');
      await call('POST', `${one(begun.id)}/complete`, { headers: { prefer: 'respond-async' } });
      const { modelId, version, modelVersionId, importId } = await takenIn(begun.id, progress.signal);
      if (importId === null) return { modelId, version, modelVersionId, importId };
      progress.onPhase?.('converting');
      const { signal } = progress;
      const waiting = this.imported(importId, signal === undefined ? {} : { signal });
      const end = await waiting.catch(async (error: unknown) => {
        if (signal?.aborted !== true) throw error;
        await cancelImport(importId).catch(() => undefined);
        throw new AppError('request_cancelled', 'The upload was given up by its signal.', { cause: error });
      });
      return { modelId, version, modelVersionId: end.modelVersionId, importId };
    },
  };
}
