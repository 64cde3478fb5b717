import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage, WireError } from '@millrace/contracts';
import { AppError, appErrorFrom } from '@millrace/contracts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

const MIB = 1024 * 1024;
/** Size of a part unless there would be too many (bytes). */
const PART_BYTES = 16 * MIB;
/** Parts of all files of an upload. */
const PARTS_MAX = 10_000;
/** Parts on their way at once: with PART_BYTES this bounds the memory of an upload. */
const PARTS_AT_ONCE = 3;
/** Attempts to send a part. */
const ATTEMPTS_MAX = 4;
/** A part on which nothing moves for this long is sent again (ms). */
const PART_TIMEOUT_MS = 300_000;
/** How often the state of an upload that is taken in is asked for (ms). */
const POLL_MS = 500;

/** A file to upload; `read` gives the bytes from `start` up to but not including `end`. */
export type UploadSource = {
  readonly name: string;
  readonly sizeBytes: number;
  read(start: number, end: number): Promise<Uint8Array>;
};

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

export type UploadProgress = {
  /** Is told of bytes that arrived. */
  onBytes?: (sizeBytes: number) => void;
  /** Is told what is being done: hashing, sending, taking-in, converting. */
  onPhase?: (phase: 'hashing' | 'sending' | 'taking-in' | 'converting') => void;
  signal?: AbortSignal;
};

type Address = {
  file: string;
  number: number;
  sizeBytes: number;
  url: string;
  headers: Record<string, string>;
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

  async function sendPart(
    address: Address,
    source: UploadSource,
    partSizeBytes: number,
    { onBytes, signal }: UploadProgress,
  ): Promise<void> {
    const start = (address.number - 1) * partSizeBytes;
    for (let attempt = 1; ; attempt += 1) {
      const body = (await source.read(start, start + address.sizeBytes)) as Uint8Array<ArrayBuffer>;
      const timeout = AbortSignal.timeout(PART_TIMEOUT_MS);
      const response = await fetchFrom(address.url, {
        method: 'PUT',
        body,
        headers: address.headers,
        signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      }).catch((cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause))));
      if (signal?.aborted === true)
        throw new AppError('request_cancelled', 'The upload was given up by its signal.');
      if (response instanceof Response && response.ok) return onBytes?.(body.length);
      const why = response instanceof Response ? `answered ${response.status}` : 'does not answer';
      const isChanged = response instanceof Response && response.status === 400;
      if (isChanged || attempt >= ATTEMPTS_MAX) {
        throw new AppError(
          isChanged ? 'checksum_mismatch' : 'storage_unavailable',
          `The object store ${why} for part ${address.number} of ${address.file}; upload again.`,
        );
      }
      await sleep(250 * 2 ** attempt, undefined, signal === undefined ? {} : { signal });
    }
  }

  async function sendAll(
    id: string,
    first: Page<Address>,
    files: ReadonlyMap<string, Digested>,
    progress: UploadProgress,
  ): Promise<void> {
    for (let page = first; ; ) {
      const waiting = [...page.items];
      const lane = async (): Promise<void> => {
        for (let address = waiting.shift(); address !== undefined; address = waiting.shift()) {
          const file = files.get(address.file);
          if (file === undefined) throw new AppError('internal', `Nobody has a file ${address.file}.`);
          await sendPart(address, file.source, file.partSizeBytes, progress);
        }
      };
      await Promise.all(Array.from({ length: PARTS_AT_ONCE }, lane));
      if (page.nextCursor === null) return;
      // addresses live an hour: each page is asked for when its turn comes
      page = await call<Page<Address>>('GET', `${one(id)}/parts`, { query: { cursor: page.nextCursor } });
    }
  }

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
      const partSizeBytes = partSize(sources);
      const files = new Map<string, Digested>();
      for (const source of sources) files.set(source.name, await digested(source, partSizeBytes));
      const list = [...files.values()].map(({ source: { name, sizeBytes }, ...digests }) => ({
        name,
        sizeBytes,
        ...digests,
      }));
      const begun = await call<PartUpload & { parts: Page<Address> }>('POST', '/v1/uploads', {
        body: { ...fields, files: list },
      });
      progress.onPhase?.('sending');
      try {
        await sendAll(begun.id, begun.parts, files, progress);
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

type Digested = {
  source: UploadSource;
  sha256: string;
  partSizeBytes: number;
  partDigests: string[];
};

/** One size for all parts, so that there are not too many of them. */
function partSize(sources: readonly UploadSource[]): number {
  const sizeBytes = sources.reduce((sum, source) => sum + source.sizeBytes, 0);
  const least = Math.ceil(sizeBytes / (PARTS_MAX - sources.length));
  return Math.max(PART_BYTES, Math.ceil(least / MIB) * MIB);
}

async function digested(source: UploadSource, partSizeBytes: number): Promise<Digested> {
  const whole = createHash('sha256');
  const partDigests: string[] = [];
  for (let start = 0; start < source.sizeBytes; start += partSizeBytes) {
    const part = await source.read(start, Math.min(source.sizeBytes, start + partSizeBytes));
    whole.update(part);
    partDigests.push(createHash('sha256').update(part).digest('hex'));
  }
  return { source, sha256: whole.digest('hex'), partSizeBytes, partDigests };
}
