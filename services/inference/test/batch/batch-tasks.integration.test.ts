import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createOutbox } from '@millrace/bus';
import { AppError, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import { createTestDatabase } from '@millrace/testing';
import { createBatchRepository } from '../../src/batch/batch.repository.ts';
import type { ChunkResult } from '../../src/batch/batch-spec.ts';
import type { BatchTasks, Claim } from '../../src/batch/batch-tasks.ts';
import { ATTEMPTS_MAX, createBatchTasks } from '../../src/batch/batch-tasks.ts';
import { batchTables, busTables } from '../../src/schema.ts';

const SHA256 = 'a'.repeat(64);
const repository = createBatchRepository(batchTables);
let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let database: Database;
let tasks: BatchTasks;
let jobId: string;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  await migrate({
    url: testDatabase.url,
    schema: 'inference',
    folder: fileURLToPath(new URL('../../migrations', import.meta.url)),
  });
  database = createDatabase({ url: testDatabase.url, applicationName: 'test' });
  tasks = createBatchTasks({ database, repository, outbox: createOutbox(busTables, 'inference') });
}, 60_000);

afterAll(async () => {
  await database?.close();
  await testDatabase?.drop();
});

beforeEach(async () => {
  jobId = newId();
  await database.transaction(async (tx) => {
    await repository.insert(tx, {
      id: jobId,
      tenant: 'default',
      createdBy: 'test',
      spec: {
        model: 'm',
        version: 'v1',
        modelVersionId: newId(),
        packageDigest: SHA256,
        input: { key: 'batch-inputs/default/a.csv' },
        format: 'csv',
        csv: { header: true, delimiter: ',' },
        columns: null,
        output: { format: 'jsonl', names: null },
        chunkRows: 10,
        onRowError: 'fail',
      },
      sources: [],
      bodySha256: SHA256,
    });
    await tasks.begin(tx, jobId);
  });
});

async function claimed(
  kind: 'plan' | 'chunk' | 'assemble',
  position = 0,
): Promise<Claim & { outcome: 'claimed' }> {
  const claim = await tasks.claim({ jobId, kind, position });
  if (claim.outcome !== 'claimed') throw new Error(`The task is ${claim.outcome}.`);
  return claim;
}

/** Plans two chunks of ten rows. */
async function plan(): Promise<void> {
  const { held } = await claimed('plan');
  const chunk = (position: number) => ({
    position,
    source: 0,
    key: 'batch-inputs/default/a.csv',
    format: 'csv' as const,
    start: position * 100,
    end: position * 100 + 100,
    sha256: SHA256,
    firstRow: position * 10 + 1,
    rows: 10,
  });
  await tasks.addChunks(held, [chunk(0), chunk(1)]);
  // a plan that is made again finds the same
  await tasks.addChunks(held, [chunk(0), chunk(1)]);
  await tasks.completePlan(held);
}

const made = (skipped = 0): ChunkResult => ({
  part: { sha256: SHA256, sizeBytes: 1 },
  headBytes: 0,
  rows: 10 - skipped,
  skipped,
  errors: null,
});

const expire = () =>
  database.pool.query(
    "update inference.batch_tasks set lease_until = now() - interval '1 s' where job_id = $1",
    [jobId],
  );

const job = async () => repository.find(database.db, jobId);

test('a task whose process went away is taken again, and only the last to take it counts', async () => {
  await plan();
  expect(await job()).toMatchObject({ rowsPlanned: 20, chunksPlanned: 2, isPlanned: true, state: 'running' });
  const lost = await claimed('chunk');
  expect(await tasks.claim({ jobId, kind: 'chunk', position: 0 })).toEqual({ outcome: 'leased' });
  await expire();
  expect(await tasks.reconcile()).toBe(1);
  const second = await claimed('chunk');
  expect(second.held.fence).toBe(lost.held.fence + 1);
  expect(await tasks.renew(lost.held)).toBe(false);
  await tasks.completeChunk(lost.held, made(5));
  expect(await job()).toMatchObject({ chunksDone: 0, rowsDone: 0 });
  await tasks.completeChunk(second.held, made());
  await tasks.completeChunk(second.held, made());
  expect(await job()).toMatchObject({ chunksDone: 1, rowsDone: 10, rowsSkipped: 0 });
});

test('the parts are put together once all are there', async () => {
  await plan();
  await tasks.completeChunk((await claimed('chunk', 1)).held, made());
  expect(await tasks.claim({ jobId, kind: 'assemble', position: 0 })).toEqual({ outcome: 'gone' });
  await tasks.completeChunk((await claimed('chunk', 0)).held, made(1));
  const { held } = await claimed('assemble');
  const blob = { sha256: SHA256, sizeBytes: 1 };
  await tasks.completeAssembly(held, { manifest: blob, result: null, errors: null });
  expect(await job()).toMatchObject({ state: 'succeeded', rowsDone: 19, rowsSkipped: 1 });
});

test('a chunk that ends every process fails its job, and names its rows', async () => {
  await plan();
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    await claimed('chunk', 1);
    await expire();
    await tasks.reconcile();
  }
  expect(await job()).toMatchObject({ state: 'failed', error: { code: 'attempts_exhausted' } });
  expect((await job())?.error?.message).toContain('rows 11 to 20');
  expect(await tasks.claim({ jobId, kind: 'chunk', position: 0 })).toEqual({ outcome: 'gone' });
});

test('what passes uses up no attempt', async () => {
  await plan();
  for (let i = 0; i < ATTEMPTS_MAX * 2; i += 1) {
    const { held } = await claimed('chunk');
    expect(await tasks.fail(held, new AppError('queue_full', 'Full.'))).toBe('again');
  }
  const { held } = await claimed('chunk');
  expect(await tasks.fail(held, new AppError('not_finite', 'Row 3: NaN.'))).toBe('ended');
  expect(await job()).toMatchObject({
    state: 'failed',
    error: { code: 'not_finite', message: 'Row 3: NaN.' },
  });
});

test('nothing is taken of a job that was cancelled', async () => {
  await plan();
  const { held } = await claimed('chunk');
  await database.transaction((tx) => repository.finish(tx, jobId, { state: 'cancelled' }));
  await tasks.completeChunk(held, made());
  expect(await job()).toMatchObject({ state: 'cancelled', chunksDone: 0 });
});
