import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { sliceRows } from '../../src/engine/join-tensors.ts';
import type { ServedModel } from '../../src/engine/served-model.ts';
import { ulpsApart } from '../../src/engine/ulps.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';
import { createTestEngine } from '../support/test-engine.ts';

/** Far more than the logistic regression is off, far less than a digit of a probability. */
const ULPS_MAX = 64;
const REQUESTS = 32;
const path = fileURLToPath(new URL('../fixtures/logistic.onnx', import.meta.url));
const logistic = { path, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
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

async function alone(model: ServedModel): Promise<(readonly Tensor[])[]> {
  const answers = [];
  for (const row of rows) answers.push(await ask(model, row));
  return answers;
}

test('a logistic regression of scikit-learn answers joined rows otherwise in the last places, and is not joined', async () => {
  const model = await engine.open(logistic);
  expect(model.measurement).toMatchObject({
    isBatched: false,
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

test('where some units are allowed it is joined, says how far it is off, and never is further', async () => {
  const model = await engine.open(logistic, { joinedUlpsMax: ULPS_MAX });
  const { measurement } = model;
  // whether joining pays is a matter of time; how far the answers are is not
  expect(measurement.rowsJoinedMax).toBe(64);
  expect(measurement.batchReason).toMatch(
    /^(answers are at most [1-9]\d* units in the last place off up to 64 rows|joining does not pay)/,
  );
  const singles = await alone(model);
  const isNear = (scores: Tensor, row: number): void =>
    expect(ulpsApart(scores, singles[row]?.[1] as Tensor)).toBeLessThanOrEqual(ULPS_MAX);
  const data = Float32Array.from(rows.flatMap((row) => [...row]));
  const all: Tensor = { name: 'float_input', dtype: 'float32', shape: [REQUESTS, 10], data };
  const whole = await model.queue.submit({ inputs: [all], rows: REQUESTS, deadlineMs: 30_000 });
  for (let row = 0; row < REQUESTS; row += 1)
    isNear(sliceRows(whole.outputs[1] as Tensor, row, row + 1), row);
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
