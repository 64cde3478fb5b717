import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { sliceRows } from '../../src/engine/join-tensors.ts';
import type { ServedModel } from '../../src/engine/served-model.ts';
import { ulpsApart } from '../../src/engine/ulps.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';
import { createTestEngine } from '../support/test-engine.ts';

/** Far more than the logistic regression is off, far less than a digit of a probability. */
const ULPS_MAX = 64;
const REQUESTS = 32;
function fixture(name: string): { path: string; sha256: string } {
  const path = fileURLToPath(new URL(`../fixtures/${name}.onnx`, import.meta.url));
  return { path, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
}
const [logistic, centred] = [fixture('logistic'), fixture('centred')];
const engine = createTestEngine({ inlineRunMsMax: 50 });
afterAll(() => engine.close());

/** Rows of a model that was trained by scikit-learn, far from and near to its boundary. */
const rows = Array.from({ length: REQUESTS }, (_, row) =>
  Float32Array.from({ length: 10 }, (_, i) => Math.sin(row * 10 + i) * (row % 4)),
);

async function ask(model: ServedModel, row: Float32Array<ArrayBuffer>): Promise<readonly Tensor[]> {
  const inputs: Tensor[] = [{ name: 'float_input', dtype: 'float32', shape: [1, 10], data: row }];
  return (await model.queue.submit({ inputs, rows: 1, deadlineMs: 30_000 })).outputs;
}

/** The first rows, in one request. */
async function askRows(model: ServedModel, count: number): Promise<readonly Tensor[]> {
  const data = Float32Array.from(rows.slice(0, count).flatMap((row) => [...row]));
  const all: Tensor = { name: 'float_input', dtype: 'float32', shape: [count, 10], data };
  return (await model.queue.submit({ inputs: [all], rows: count, deadlineMs: 30_000 })).outputs;
}

async function alone(model: ServedModel): Promise<(readonly Tensor[])[]> {
  const answers = [];
  for (const row of rows) answers.push(await ask(model, row));
  return answers;
}

test('without pairs a logistic regression of scikit-learn answers joined rows otherwise in the last places, and is not joined', async () => {
  const model = await engine.open(logistic, { joining: { ulpsMax: 0, pairMsMax: 0 } });
  expect(model.measurement).toMatchObject({
    isBatched: false,
    isPaired: false,
    rowsJoinedMax: 1,
    batchReason: expect.stringMatching(
      /^output "output_probability" of a row differs by \d+ units in the last place when \d+ rows are joined$/,
    ),
  });
  const together = await Promise.all(rows.map((row) => ask(model, row)));
  expect(together).toEqual(await alone(model));
  const { requests, runs } = model.queue.stats();
  expect(runs).toBe(requests);
});

describe.each([
  { where: 'inline', isInlineAllowed: true },
  { where: 'in a host', isInlineAllowed: false },
])('a row alone runs as a pair, $where', ({ isInlineAllowed }) => {
  test('each row has one answer, to the bit, whatever else is in its run', async () => {
    const model = await engine.open(logistic, { isInlineAllowed });
    expect(model.runner.placement).toBe(isInlineAllowed ? 'inline' : 'host');
    expect(model.measurement).toMatchObject({ isPaired: true, rowsJoinedMax: 64 });
    const singles = await alone(model);
    expect(singles.flat().map(({ shape }) => shape[0])).toEqual(singles.flat().map(() => 1));
    expect(await Promise.all(rows.map((row) => ask(model, row)))).toEqual(singles);
    for (const count of [2, 3, 7, 32]) {
      const whole = await askRows(model, count);
      for (let row = 0; row < count; row += 1)
        expect(whole.map((output) => sliceRows(output, row, row + 1))).toEqual(singles[row]);
    }
    // and that answer is the runtime's own for one row, but for the last places
    const plain = await engine.open(logistic, { joining: { ulpsMax: 0, pairMsMax: 0 } });
    for (const [row, [label, scores]] of (await alone(plain)).entries()) {
      expect(singles[row]?.[0]).toEqual(label);
      expect(ulpsApart(singles[row]?.[1] as Tensor, scores as Tensor)).toBeLessThanOrEqual(ULPS_MAX);
    }
  });
});

test('a model whose rows see each other is not mended by pairs', async () => {
  const model = await engine.open(centred);
  expect(model.measurement).toMatchObject({ isBatched: false, isPaired: false, rowsJoinedMax: 1 });
});

test('where some units are allowed it is joined, says how far it is off, and never is further', async () => {
  const model = await engine.open(logistic, { joining: { ulpsMax: ULPS_MAX, pairMsMax: 0 } });
  const { measurement } = model;
  // whether joining pays is a matter of time; how far the answers are is not
  expect(measurement.rowsJoinedMax).toBe(64);
  expect(measurement.batchReason).toMatch(
    /^(answers are at most [1-9]\d* units in the last place off up to 64 rows|joining does not pay)/,
  );
  const singles = await alone(model);
  const isNear = (scores: Tensor, row: number): void =>
    expect(ulpsApart(scores, singles[row]?.[1] as Tensor)).toBeLessThanOrEqual(ULPS_MAX);
  const whole = await askRows(model, REQUESTS);
  for (let row = 0; row < REQUESTS; row += 1) isNear(sliceRows(whole[1] as Tensor, row, row + 1), row);
  const before = model.queue.stats();
  const together = await Promise.all(rows.map((row) => ask(model, row)));
  for (const [row, [label, scores]] of together.entries()) {
    expect(label).toEqual(singles[row]?.[0]);
    isNear(scores as Tensor, row);
  }
  const { runs } = model.queue.stats();
  if (measurement.isBatched) expect(runs - before.runs).toBeLessThan(REQUESTS);
  else expect(runs - before.runs).toBe(REQUESTS);
});
