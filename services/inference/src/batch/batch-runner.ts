import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Bus, Pull } from '@millrace/bus';
import { retryDelayMs, startPull } from '@millrace/bus';
import { AppError, isAppError, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Logger } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import type { JsMsg } from '@nats-io/jetstream';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { assemble } from './assemble.ts';
import type { BatchRepository, HeldTask, TaskId } from './batch.repository.ts';
import type { BatchJobRow } from './batch.table.ts';
import type { ChunkInput, ChunkResult } from './batch-spec.ts';
import type { BatchTasks, Claim } from './batch-tasks.ts';
import { BATCH_SUBJECT, LEASE_MS } from './batch-tasks.ts';
import type { RunChunk } from './chunk/chunk-order.ts';
import { planSource } from './input/plan-source.ts';

const RECONCILE_MS = 5_000;
/** Deliveries beyond our own count of attempts, which decides. */
const DELIVERIES_MAX = 10_000;
const ACK_PENDING_MAX = 1_024;
/** Chunks of a job: more of them make its manifest and its plan too long. */
const CHUNKS_MAX = 20_000;
/** Chunks that are kept in one transaction while a plan is made. */
const PLAN_PAGE = 100;
/** Files of a chunk that are older belong to a process that was killed (ms). */
const LEFT_OVER_MS = 60 * 60_000;
/** A task that another process holds is looked at again after this (ms). */
const LEASED_RETRY_MS = 5_000;

const TaskPointer = Compile(
  Type.Object({
    jobId: Uuid,
    kind: Type.Union([Type.Literal('plan'), Type.Literal('chunk'), Type.Literal('assemble')]),
    position: Type.Integer({ minimum: 0 }),
  }),
);

export type BatchRunnerDeps = {
  bus: Bus;
  logger: Logger;
  database: Database;
  storage: Storage;
  repository: BatchRepository;
  tasks: BatchTasks;
  /** Predicts a chunk in a front. */
  runChunk: RunChunk;
  /** Folder for the files of chunks. */
  folder: string;
  /** Tasks of this server at once. */
  tasksMax: number;
};

type Claimed = Claim & { outcome: 'claimed' };

/** Takes tasks of batch jobs from their queue and does them, here or in a front. */
export async function startBatchRunner(deps: BatchRunnerDeps): Promise<{ stop(): Promise<void> }> {
  const { bus, logger, storage, tasks, repository, database, runChunk, folder } = deps;
  await mkdir(folder, { recursive: true });
  await removeLeftOvers(folder);

  async function plan(job: BatchJobRow, held: HeldTask): Promise<void> {
    let position = 0;
    let firstRow = 1;
    let page: (ChunkInput & { position: number })[] = [];
    const keep = async (): Promise<void> => {
      if (page.length > 0) await tasks.addChunks(held, page);
      page = [];
    };
    for (const [index, source] of job.sources.entries()) {
      const planning = {
        storage,
        spec: job.spec,
        // the head is there before any chunk that needs it
        onHead: (head: Parameters<typeof tasks.addHead>[2]) => tasks.addHead(held, index, head),
      };
      for await (const chunk of planSource(planning, source, { source: index, firstRow })) {
        if (position >= CHUNKS_MAX) {
          throw new AppError(
            'batch_input_invalid',
            `The input makes more than ${CHUNKS_MAX} chunks; submit it with a higher chunkRows, or in several jobs.`,
          );
        }
        page.push({ ...chunk, position });
        position += 1;
        firstRow += chunk.rows;
        if (page.length >= PLAN_PAGE || position === 1) await keep();
      }
    }
    await keep();
    if (position === 0) throw new AppError('batch_input_invalid', 'The input has no rows.');
    await tasks.completePlan(held);
  }

  /** Fetches the bytes of a chunk. Throws `batch_input_changed` when they are not those of the plan. */
  async function fetchInput(job: BatchJobRow, input: ChunkInput, path: string): Promise<void> {
    const { key, start, end, sha256 } = input;
    const hash = createHash('sha256');
    async function* hashed(source: Readable): AsyncGenerator<Buffer> {
      for await (const piece of source as AsyncIterable<Buffer>) {
        hash.update(piece);
        yield piece;
      }
    }
    await pipeline(
      hashed(await storage.openRange(key, { start, end })),
      createWriteStream(path, { mode: 0o600 }),
    );
    if (hash.digest('hex') === sha256) return;
    const { path: name = key } = job.sources[input.source] ?? {};
    throw new AppError('batch_input_changed', `${name} was replaced after the job began; submit it again.`);
  }

  async function predict({ job, task, held }: Claimed): Promise<void> {
    const { input } = task;
    if (input === null) throw new AppError('internal', 'A chunk has no input.');
    const own = await mkdtemp(join(folder, 'chunk-'));
    try {
      const inputPath = join(own, 'input');
      const partPath = join(own, 'part');
      const errorsPath = join(own, 'errors');
      await fetchInput(job, input, inputPath);
      const { spec, heads } = job;
      const report = await runChunk({
        modelVersionId: spec.modelVersionId,
        packageDigest: spec.packageDigest,
        inputPath,
        partPath,
        errorsPath,
        format: input.format,
        delimiter: spec.csv.delimiter,
        head: heads[input.source] ?? {},
        columns: spec.columns,
        output: spec.output,
        onRowError: spec.onRowError,
        firstRow: input.firstRow,
        rows: input.rows,
      });
      const result: ChunkResult = {
        ...report,
        part: await storage.putBlob(createReadStream(partPath)),
        errors: report.skipped === 0 ? null : await storage.putBlob(createReadStream(errorsPath)),
      };
      await tasks.completeChunk(held, result);
    } finally {
      await rm(own, { recursive: true, force: true });
    }
  }

  async function work(claimed: Claimed): Promise<void> {
    const { job, task, held } = claimed;
    if (task.kind === 'chunk') return predict(claimed);
    if (task.kind === 'plan') return plan(job, held);
    const parts = (after: number, limit: number) => repository.parts(database.db, job.id, { after, limit });
    return tasks.completeAssembly(held, await assemble(job, { storage, parts }));
  }

  async function fail(held: HeldTask, raw: unknown, message: JsMsg): Promise<void> {
    const error = isAppError(raw) ? raw : new AppError('internal', 'The task failed.', { cause: raw });
    if (error.code === 'fenced') return message.ack();
    if (error.code === 'internal') logger.error({ err: raw, ...held }, 'A task of a batch job failed.');
    const outcome = await tasks.fail(held, error);
    if (outcome === 'ended') return message.ack();
    logger.warn({ err: error, ...held }, 'A task of a batch job is tried again.');
    message.nak(retryDelayMs(message.info.deliveryCount));
  }

  async function take(pointer: TaskId, message: JsMsg): Promise<void> {
    const claim = await tasks.claim(pointer);
    if (claim.outcome === 'gone') return message.ack();
    if (claim.outcome === 'leased') return message.nak(LEASED_RETRY_MS);
    const renewing = setInterval(() => {
      message.working();
      void tasks
        .renew(claim.held)
        .catch((error: unknown) => logger.warn({ err: error }, 'The lease of a batch task was not renewed.'));
    }, LEASE_MS / 3);
    try {
      await work(claim);
      message.ack();
    } catch (error) {
      await fail(claim.held, error, message);
    } finally {
      clearInterval(renewing);
    }
  }

  async function onMessage(message: JsMsg): Promise<void> {
    try {
      const pointer: unknown = message.json();
      if (!TaskPointer.Check(pointer)) return message.term('not a task of a batch job');
      await take(pointer, message);
    } catch (error) {
      // Postgres is away: the task is announced again, by NATS or by the reconciler
      logger.warn(
        { err: error, sequence: message.seq },
        'A task of a batch job was not taken; it comes again.',
      );
      message.nak(retryDelayMs(message.info.deliveryCount));
    }
  }

  const pull: Pull = startPull(
    bus,
    {
      stream: 'jobs',
      durable: 'batch-cpu',
      filterSubject: BATCH_SUBJECT,
      ackWaitMs: LEASE_MS,
      maxDeliver: DELIVERIES_MAX,
      maxAckPending: ACK_PENDING_MAX,
    },
    { concurrency: deps.tasksMax, onMessage },
  );
  let inHand: Promise<unknown> = Promise.resolve();
  const reconciler = setInterval(() => {
    inHand = inHand
      .then(() => tasks.reconcile())
      .catch((error: unknown) =>
        logger.warn({ err: error }, 'Batch tasks were not looked after; they will be.'),
      );
  }, RECONCILE_MS);
  return {
    async stop() {
      clearInterval(reconciler);
      await inHand;
      await pull.stop();
    },
  };
}

/** Removes what a killed process left; what another process uses now is younger. */
async function removeLeftOvers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const changedAt = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    );
    if (Date.now() - changedAt > LEFT_OVER_MS) await rm(path, { recursive: true, force: true });
  }
}
