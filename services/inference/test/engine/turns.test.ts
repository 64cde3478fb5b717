import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createInlineRunner } from '../../src/engine/inline-runner.ts';
import { probeInputs } from '../../src/engine/measure.ts';
import { createRequestQueue } from '../../src/engine/request-queue.ts';
import type { RuntimeSession } from '../../src/engine/runtime-session.ts';
import { openSession } from '../../src/engine/runtime-session.ts';

const MODEL = fileURLToPath(new URL('../fixtures/classifier.onnx', import.meta.url));
const OUTPUT_BYTES_MAX = 1024 * 1024;
const limits = { requestsMax: 100, bytesMax: OUTPUT_BYTES_MAX, joinedRowsMax: 1 };
let session: RuntimeSession;

beforeAll(async () => {
  const sha256 = createHash('sha256').update(readFileSync(MODEL)).digest('hex');
  session = await openSession({ path: MODEL, sha256 }, { threads: 1, outputBytesMax: OUTPUT_BYTES_MAX });
});
afterAll(() => session.close());

/** Counts turns of the event loop until `work` is done. */
async function turnsOf(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await work;
  isDone = true;
  return turns;
}

test('a request in pieces leaves a turn of the loop between them, and its answer is the same', async () => {
  const inputs = probeInputs(session.signature, 8);
  const whole = createInlineRunner(session, { residentBytes: 0, runsMax: 1 });
  const inPieces = createInlineRunner(session, { residentBytes: 0, runsMax: 1, rowsMax: 2 });
  const { outputs } = await whole.run(inputs, undefined, []);
  const work = inPieces.run(inputs, undefined, []);
  expect(await turnsOf(work)).toBeGreaterThanOrEqual(2);
  expect((await work).outputs).toEqual(outputs);
});

test('a queue begins as many runs in a turn of the loop as the runner may, though each is over at once', async () => {
  const runner = createInlineRunner(session, { residentBytes: 0, runsMax: 2 });
  const queue = createRequestQueue(runner, false, limits);
  const inputs = probeInputs(session.signature, 1);
  const work = Promise.all(
    Array.from({ length: 10 }, () => queue.submit({ inputs, rows: 1, deadlineMs: 60_000 })),
  );
  expect(await turnsOf(work)).toBeGreaterThanOrEqual(4);
  expect(queue.stats()).toMatchObject({ requests: 10, runs: 10, depth: 0 });
});
