import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { ServerProcess } from '../support/server-process.ts';
import { startServerProcess } from '../support/server-process.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';
import { createBatchClient, downloadLines } from './batch-client.ts';
import { csvOf, makeRows } from './batch-files.ts';

const ROWS = 10_000;
const KEY = 'batch-inputs/default/crash.csv';
const body = { model: 'crashing', input: { key: KEY }, chunkRows: 1_000 };

let serving: Serving;
let server: ServerProcess;

beforeAll(async () => {
  serving = await startServing();
  await serving.registry.add('crashing', fixture('classifier'));
  await serving.storage.putObject(KEY, csvOf(makeRows(ROWS)));
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await serving?.stop();
}, 60_000);

/** A figure of the chunks of a job that are in this state. */
async function tasksOf(id: string, figure: string, state = 'running'): Promise<number> {
  const { rows } = await serving.database.pool.query(
    `select ${figure}::int as figure from inference.batch_tasks where job_id = $1 and kind = 'chunk' and state = $2`,
    [id, state],
  );
  return rows[0].figure;
}

test('a front is killed in the middle: the result is the same, with every row once', async () => {
  const alone = createBatchClient(serving.origin);
  const first = await alone.createdId(body);
  expect(await alone.ended(first)).toMatchObject({ state: 'succeeded' });
  const { result: expected } = await alone.results(first);
  expect(expected?.rows).toBe(ROWS);

  server = await startServerProcess(serving.environment, 2);
  const client = createBatchClient(server.origin);
  const id = await client.createdId(body);
  // fronts that stand still keep the chunks they have, while the service of this process does the others
  await eventually(async () => expect(await tasksOf(id, 'count(*)')).toBeGreaterThan(0), { intervalMs: 10 });
  const [victim, other] = server.frontPids() as [number, number];
  for (const pid of [victim, other]) process.kill(pid, 'SIGSTOP');
  await eventually(async () => expect(await tasksOf(id, 'count(*)', 'done')).toBe(ROWS / 1_000 - 2), {
    timeoutMs: 60_000,
  });
  process.kill(victim, 'SIGKILL');
  process.kill(other, 'SIGCONT');
  expect(await client.ended(id)).toMatchObject({
    state: 'succeeded',
    rows: { total: ROWS, done: ROWS, skipped: 0 },
  });
  const { result } = await client.results(id);
  expect((await downloadLines(result)).map(({ row }) => row)).toEqual(
    Array.from({ length: ROWS }, (_, i) => i + 1),
  );
  expect(result?.sha256).toBe(expected?.sha256);
  // a chunk was in the hands of the one that was killed
  expect(await tasksOf(id, 'max(attempts)', 'done')).toBeGreaterThan(1);
}, 160_000);

test('a whole server is killed in the middle: another finishes its chunks when their leases end', async () => {
  const client = createBatchClient(serving.origin);
  const first = await client.createdId(body);
  await client.ended(first);
  const { result: expected } = await client.results(first);

  const id = await client.createdId(body);
  await eventually(async () => expect(await tasksOf(id, 'count(*)')).toBe(3), { intervalMs: 10 });
  process.kill(server.pid, 'SIGKILL');
  expect(await client.ended(id, 120_000)).toMatchObject({ state: 'succeeded', rows: { done: ROWS } });
  expect((await client.results(id)).result?.sha256).toBe(expected?.sha256);
  expect(await tasksOf(id, 'max(attempts)', 'done')).toBeGreaterThan(1);
}, 180_000);
