import { AppError, isAppError, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import type { PartFileRequest } from './part-plan.ts';
import { assertPlan } from './part-plan.ts';
import type { PartAddress, PartTransfer } from './part-transfer.ts';
import type { PartUploadRow } from './part-upload.columns.ts';
import type { PartUploadRepository } from './part-upload.repository.ts';

/** An upload that is not completed by then is given up (ms). */
const LIFE_MS = 24 * 60 * 60_000;
/** Open uploads of one tenant. */
const OPEN_MAX = 100;
/** Who completes an upload says so again before this is over; else another may take it (ms). */
const CLAIM_MS = 120_000;
/** How often uploads that are over are looked for, and how many at once. */
const SWEEP_MS = 60_000;
const SWEEP_ROWS = 50;

/** Whoever completes an upload. */
export type PartUploader = { tenant: string; id: string };

export type PartUploadsOptions<Row extends PartUploadRow, By extends PartUploader> = {
  database: Database;
  rows: PartUploadRepository<Row>;
  transfer: PartTransfer;
  /** Bytes of all files of an upload. */
  bytesMax: number;
  /** Makes something of the files, which are whole but unread; gives the owner's columns of the row. */
  takeIn(row: Row, by: By): Promise<Partial<Row>>;
  logger: { warn(fields: object, message: string): void };
};

export type PartUploads<Row extends PartUploadRow, By extends PartUploader> = ReturnType<
  typeof createPartUploads<Row, By>
>;

/** Uploads whose files go straight to the object store in parts, until their owner takes them in. */
export function createPartUploads<Row extends PartUploadRow, By extends PartUploader>(
  options: PartUploadsOptions<Row, By>,
) {
  const { database, rows, transfer, logger } = options;
  const { db } = database;
  /** Completions in this process; whoever asks again waits for the same. */
  const running = new Map<string, Promise<Row>>();

  async function find(tenant: string, id: string): Promise<Row> {
    const row = await rows.find(db, tenant, id);
    if (row !== undefined) return row;
    throw new AppError('upload_not_found', `There is no upload ${id}.`);
  }

  /** What cannot be freed is left there and told in the log. */
  async function clean(row: Pick<PartUploadRow, 'id' | 'files'>): Promise<void> {
    try {
      await transfer.discard(row);
    } catch (error) {
      logger.warn({ err: error, uploadId: row.id }, 'The files of an upload could not be removed.');
    }
  }

  async function work(row: Row, by: By): Promise<Row> {
    const renewal = setInterval(() => {
      rows.renew(db, row.id, CLAIM_MS).then(undefined, () => undefined);
    }, CLAIM_MS / 4);
    try {
      for (const file of row.files) await transfer.join(file);
      await rows.setCompleted(db, row.id, await options.takeIn(row, by));
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
  async function refuse(row: Row, error: unknown): Promise<void> {
    const isFinal = isAppError(error) && !error.retryable && error.code !== 'upload_incomplete';
    if (!isFinal) {
      await rows.reopen(db, row.id);
      return;
    }
    await rows.setFailed(db, row.id, { code: error.code, message: error.message });
    await clean(row);
  }

  /** Begins to complete an upload in this process, unless somebody else does. */
  async function start(id: string, by: By): Promise<void> {
    const claimed = await rows.claim(db, id, CLAIM_MS);
    if (claimed === undefined) return;
    const done = work(claimed, by).finally(() => running.delete(id));
    running.set(id, done);
    done.catch((error: unknown) => {
      if (!isAppError(error)) logger.warn({ err: error, uploadId: id }, 'An upload could not be taken in.');
    });
  }

  async function sweep(): Promise<void> {
    for (const row of await rows.due(db, SWEEP_ROWS)) {
      await rows.setExpired(db, row.id);
      await clean(row);
    }
  }

  const timer = setInterval(() => {
    sweep().catch((error: unknown) => logger.warn({ err: error }, 'Old uploads could not be given up.'));
  }, SWEEP_MS);
  timer.unref();

  return {
    find,

    list: (tenant: string, page: { limit: number; beforeId?: string; where?: SQL | undefined }) =>
      rows.list(db, tenant, page),

    /** When an upload that is begun or gone on with now is given up. */
    expiry: () => new Date(Date.now() + LIFE_MS),

    /**
     * Begins an upload; undefined where the owner's table has an equal one.
     * @throws AppError those of `assertPlan`, `upload_limit_reached`
     */
    async create(
      files: readonly PartFileRequest[],
      by: By,
      columns: Pick<Row, 'fields'> & Partial<Row>,
    ): Promise<Row | undefined> {
      assertPlan(files, options.bytesMax);
      // those whose time is over do not count
      await sweep();
      if ((await rows.countOpen(db, by.tenant)) >= OPEN_MAX) {
        throw new AppError(
          'upload_limit_reached',
          `${OPEN_MAX} uploads are open already; complete or abort one of them.`,
        );
      }
      const id = newId();
      const begun = await transfer.begin(id, files);
      const row = await rows.insert(db, {
        ...columns,
        id,
        tenant: by.tenant,
        createdBy: by.id,
        files: begun,
        expiresAt: new Date(Date.now() + LIFE_MS),
      });
      if (row === undefined) await clean({ id, files: begun });
      return row;
    },

    /** Notes an upload of files that the owner has already: nothing is to be sent. */
    createCompleted: async (
      files: readonly PartFileRequest[],
      by: By,
      columns: Pick<Row, 'fields'> & Partial<Row>,
    ): Promise<Row | undefined> => {
      assertPlan(files, options.bytesMax);
      const now = new Date();
      const known = files.map((file) => ({ ...file, key: '', storageUploadId: '' }));
      const ended = { state: 'completed' as const, finishedAt: now, expiresAt: now };
      return await rows.insert(db, {
        ...columns,
        ...ended,
        id: newId(),
        tenant: by.tenant,
        createdBy: by.id,
        files: known,
      });
    },

    /** Addresses of parts `from` to `to`, counted through all files. @throws AppError `upload_not_open` */
    async addresses(row: Row, from: number, to: number, isNew = false): Promise<PartAddress[]> {
      if (row.state !== 'open') throw notOpen(row);
      return await transfer.addresses(row.files, from, to, isNew);
    },

    /**
     * Completes an upload once, however often it is asked for; waits up to `waitMs` and then gives it as it stands.
     * @throws AppError `upload_incomplete`, `upload_not_open`, and those of `takeIn`
     */
    async complete(tenant: string, id: string, by: By, waitMs: number): Promise<Row> {
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
    async abort(tenant: string, id: string): Promise<Row> {
      const row = await find(tenant, id);
      if (row.state === 'aborted') return row;
      const aborted = await rows.abort(db, id);
      if (aborted === undefined) throw notOpen(await find(tenant, id));
      await clean(aborted);
      return aborted;
    },

    stop: () => clearInterval(timer),
  };
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
