import { AppError, isAppError, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import { CHECKSUM_HEADER, checksumOf } from '@millrace/storage';
import { UPLOADS_FOLDER } from '../collection/orphans.ts';
import type { UploadedPart } from '../uploads/multipart.ts';
import type { SpoolArea } from '../uploads/spool.ts';
import { openSpoolArea } from '../uploads/spool.ts';
import type { Uploader, UploadOutcome, UploadService } from '../uploads/upload.service.ts';
import { readUploadFields } from '../uploads/upload-fields.ts';
import type { PartFileRequest } from './part-plan.ts';
import { assertPlan, plannedParts } from './part-plan.ts';
import type { PartUploadOutcome, PartUploadRepository } from './part-upload.repository.ts';
import type { PartFile, PartUploadRow } from './part-upload.table.ts';

/** An upload that is not completed by then is given up (ms). */
const LIFE_MS = 24 * 60 * 60_000;
/** Life of the address of a part; asking again gives a new one (s). */
const ADDRESS_SECONDS = 3_600;
/** Open uploads of one tenant. */
const OPEN_MAX = 100;
/** Who completes an upload says so again before this is over; else another may take it (ms). */
const CLAIM_MS = 120_000;
/** How often uploads that are over are looked for, and how many at once. */
const SWEEP_MS = 60_000;
const SWEEP_ROWS = 50;

/** The address of a part and what must be sent with it. */
export type PartAddress = {
  file: string;
  number: number;
  sizeBytes: number;
  url: string;
  headers: Record<string, string>;
};

export type PartUploadService = ReturnType<typeof createPartUploadService>;

/** Uploads whose files go straight to the object store in parts, and then the way of every upload. */
export function createPartUploadService(options: {
  database: Database;
  partUploads: PartUploadRepository;
  storage: Storage;
  uploads: UploadService;
  logger: { warn(fields: object, message: string): void };
}) {
  const { database, partUploads, storage, uploads, logger } = options;
  const { db } = database;
  /** Completions in this process; whoever asks again waits for the same. */
  const running = new Map<string, Promise<PartUploadRow>>();

  async function find(tenant: string, id: string): Promise<PartUploadRow> {
    const row = await partUploads.find(db, tenant, id);
    if (row !== undefined) return row;
    throw new AppError('upload_not_found', `There is no upload ${id}.`);
  }

  /** Frees what lies in the object store for an upload; what cannot be freed is left there and told in the log. */
  async function clean({ id, files }: PartUploadRow): Promise<void> {
    try {
      for (const { key, storageUploadId } of files) await storage.abortParts(key, storageUploadId);
      await storage.deletePrefix(`${UPLOADS_FOLDER}${id}/`);
    } catch (error) {
      logger.warn({ err: error, uploadId: id }, 'The files of an upload could not be removed.');
    }
  }

  async function begin(id: string, files: readonly PartFileRequest[]): Promise<PartFile[]> {
    const begun: PartFile[] = [];
    for (const [i, file] of files.entries()) {
      const key = `${UPLOADS_FOLDER}${id}/${i}`;
      begun.push({ ...file, key, storageUploadId: await storage.beginParts(key, { isChecked: true }) });
    }
    return begun;
  }

  /** Has the object store make one object of the parts. Throws `upload_incomplete`. */
  async function join(file: PartFile): Promise<void> {
    // whoever was here before may have done it
    if ((await storage.headObject(file.key))?.sizeBytes === file.sizeBytes) return;
    const stored = new Map(
      (await storage.storedParts(file.key, file.storageUploadId)).map((p) => [p.number, p]),
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
  }

  /** Reads a file back into the area. Throws `checksum_mismatch` unless it is the one that was announced. */
  async function readBack(file: PartFile, area: SpoolArea): Promise<UploadedPart> {
    const mismatch = (what: string) =>
      new AppError('checksum_mismatch', `${file.name} ${what}; upload it again.`);
    const stream = await storage.readObject(file.key);
    const spooled = await area.add(stream, file.sizeBytes, () =>
      mismatch(`has over ${file.sizeBytes} bytes`),
    );
    if (spooled.sha256 !== file.sha256)
      throw mismatch(`has SHA-256 ${spooled.sha256} instead of ${file.sha256}`);
    return { name: file.name, file: spooled };
  }

  async function takeIn(row: PartUploadRow, by: Uploader): Promise<UploadOutcome> {
    const fields = new Map(Object.entries(row.fields));
    for (const file of row.files) await join(file);
    const area = await openSpoolArea();
    try {
      const parts: UploadedPart[] = [];
      for (const file of row.files) parts.push(await readBack(file, area));
      return await uploads.upload(readUploadFields(fields), { fields, parts, area }, by, true);
    } finally {
      await area.dispose();
    }
  }

  async function work(row: PartUploadRow, by: Uploader): Promise<PartUploadRow> {
    const renewal = setInterval(() => {
      partUploads.renew(db, row.id, CLAIM_MS).then(undefined, () => undefined);
    }, CLAIM_MS / 4);
    try {
      await partUploads.setCompleted(db, row.id, outcomeOf(await takeIn(row, by)));
      await clean(row);
    } catch (error) {
      await refuse(row, error);
      throw error;
    } finally {
      clearInterval(renewal);
    }
    return await find(row.tenant, row.id);
  }

  /** What can be mended leaves the upload open; all else ends it. */
  async function refuse(row: PartUploadRow, error: unknown): Promise<void> {
    const isFinal = isAppError(error) && !error.retryable && error.code !== 'upload_incomplete';
    if (!isFinal) {
      await partUploads.reopen(db, row.id);
      return;
    }
    await partUploads.setFailed(db, row.id, { code: error.code, message: error.message });
    await clean(row);
  }

  /** Begins to complete an upload in this process, unless somebody else does. */
  async function start(id: string, by: Uploader): Promise<void> {
    const claimed = await partUploads.claim(db, id, CLAIM_MS);
    if (claimed === undefined) return;
    const done = work(claimed, by).finally(() => running.delete(id));
    running.set(id, done);
    done.catch((error: unknown) => {
      if (!isAppError(error)) logger.warn({ err: error, uploadId: id }, 'An upload could not be taken in.');
    });
  }

  async function sweep(): Promise<void> {
    for (const row of await partUploads.due(db, SWEEP_ROWS)) {
      await partUploads.setExpired(db, row.id);
      await clean(row);
    }
  }

  const timer = setInterval(() => {
    sweep().catch((error: unknown) => logger.warn({ err: error }, 'Old uploads could not be given up.'));
  }, SWEEP_MS);
  timer.unref();

  return {
    find,

    list: (tenant: string, page: { limit: number; beforeId?: string }) => partUploads.list(db, tenant, page),

    /** Begins an upload. @throws AppError those of the fields and the files, `upload_limit_reached` */
    async create(
      fields: Readonly<Record<string, string>>,
      files: readonly PartFileRequest[],
      by: Uploader,
    ): Promise<PartUploadRow> {
      readUploadFields(new Map(Object.entries(fields)));
      assertPlan(files);
      // those whose time is over do not count
      await sweep();
      if ((await partUploads.countOpen(db, by.tenant)) >= OPEN_MAX) {
        throw new AppError(
          'upload_limit_reached',
          `${OPEN_MAX} uploads are open already; complete or abort one of them.`,
        );
      }
      const id = newId();
      return await partUploads.insert(db, {
        id,
        tenant: by.tenant,
        createdBy: by.id,
        fields,
        files: await begin(id, files),
        expiresAt: new Date(Date.now() + LIFE_MS),
      });
    },

    /** Addresses of parts `from` to `to`, counted through all files. @throws AppError `upload_not_open` */
    async addresses(row: PartUploadRow, from: number, to: number): Promise<PartAddress[]> {
      if (row.state !== 'open') throw notOpen(row);
      return await Promise.all(
        plannedParts(row.files, from, to).map(async ({ file, number, sizeBytes, sha256 }) => ({
          file: file.name,
          number,
          sizeBytes,
          url: await storage.presignPart(file.key, file.storageUploadId, number, ADDRESS_SECONDS, sha256),
          headers: { [CHECKSUM_HEADER]: checksumOf(sha256) },
        })),
      );
    },

    /**
     * Completes an upload once, however often it is asked for; waits up to `waitMs` and then gives it as it stands.
     * @throws AppError `upload_incomplete`, `checksum_mismatch`, `upload_not_open`, and those of every upload
     */
    async complete(tenant: string, id: string, by: Uploader, waitMs: number): Promise<PartUploadRow> {
      const row = await find(tenant, id);
      if (row.state === 'completed') return row;
      if (row.state === 'failed' && row.error !== null)
        throw new AppError(row.error.code as AppError['code'], row.error.message);
      if (row.state !== 'open' && row.state !== 'completing') throw notOpen(row);
      if (!running.has(id)) await start(id, by);
      // of two requests at once the later one finds what the earlier one began; else another replica is at work
      const done = running.get(id);
      if (done === undefined) return await find(tenant, id);
      return await within(done, waitMs, () => find(tenant, id));
    },

    /** @throws AppError `upload_not_open` when it is being completed or over */
    async abort(tenant: string, id: string): Promise<PartUploadRow> {
      const row = await find(tenant, id);
      if (row.state === 'aborted') return row;
      const aborted = await partUploads.abort(db, id);
      if (aborted === undefined) throw notOpen(await find(tenant, id));
      await clean(aborted);
      return aborted;
    },

    stop: () => clearInterval(timer),
  };
}

function outcomeOf(outcome: UploadOutcome): PartUploadOutcome {
  if ('importing' in outcome)
    return { modelVersionId: null, importId: outcome.importing.id, isReused: false };
  const { version, isReused } = outcome.registered;
  return { modelVersionId: version.id, importId: null, isReused };
}

function notOpen({ id, state }: PartUploadRow): AppError {
  return new AppError('upload_not_open', `The upload ${id} is ${state}; begin a new one.`);
}

async function within<T>(work: Promise<T>, waitMs: number, late: () => Promise<T>): Promise<T> {
  const { promise: over, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), waitMs);
  const done = await Promise.race([work, over]).finally(() => clearTimeout(timer));
  return done ?? (await late());
}
