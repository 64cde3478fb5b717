import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import fc from 'fast-check';
import { cgroupQuota, frontsFor, usableCores } from '../../src/engine/cpu-count.ts';
import type { GraphFile } from '../../src/engine/runtime-session.ts';
import type { EngineOptions, ServedModel } from '../../src/engine/served-model.ts';
import { openModel } from '../../src/engine/served-model.ts';
import { hostsFor } from '../../src/engine/start-engine.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';
import { createTestEngine } from '../support/test-engine.ts';

const engine = createTestEngine();
const { bounds } = engine.options;

function graphOf(name: string): GraphFile {
  const path = fileURLToPath(new URL(`../fixtures/${name}.onnx`, import.meta.url));
  return { path, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
}

const open = (name: string, changes: Partial<EngineOptions> = {}): Promise<ServedModel> =>
  engine.open(graphOf(name), changes);

afterAll(() => engine.close());

const floats = (name: string, shape: number[], values: number[]): Tensor => ({
  name,
  dtype: 'float32',
  shape,
  data: new Float32Array(values),
});
const turns = (count: bigint): Tensor => ({
  name: 'turns',
  dtype: 'int64',
  shape: [1],
  data: new BigInt64Array([count]),
});
const spin = (model: ServedModel, count: bigint, deadlineMs = 60_000) =>
  model.queue.submit({ inputs: [turns(count)], rows: 1, deadlineMs });

describe('placement and batching', () => {
  test('joined answers are those of the requests alone, to the bit', async () => {
    const model = await open('classifier', { isInlineAllowed: true });
    expect(model.measurement).toMatchObject({ isBatched: true });
    const value = fc.float({ min: -10, max: 10, noNaN: true });
    const request = fc.array(fc.array(value, { minLength: 10, maxLength: 10 }), {
      minLength: 1,
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 2, maxLength: 12 }), async (requests) => {
        const submit = (rows: number[][]) =>
          model.queue.submit({
            inputs: [floats('float_input', [rows.length, 10], rows.flat())],
            rows: rows.length,
            deadlineMs: 5_000,
          });
        const together = await Promise.all(requests.map(submit));
        for (const [i, rows] of requests.entries()) {
          const alone = await submit(rows);
          expect(together[i]?.outputs).toEqual(alone.outputs);
        }
      }),
      { numRuns: 40 },
    );
    const runs = model.queue.stats();
    expect(runs.runs).toBeLessThan(runs.requests);
  });

  test('a model whose rows see each other is not joined, and says so', async () => {
    const model = await open('centred', { inlineRunMsMax: 5 });
    expect(model.measurement).toMatchObject({
      isBatched: false,
      batchReason: expect.stringMatching(/differs by \d+ units in the last place when 2 rows are joined/),
    });
    const submit = (values: number[]) =>
      model.queue.submit({ inputs: [floats('x', [1, 3], values)], rows: 1, deadlineMs: 5_000 });
    const answers = await Promise.all([submit([1, 2, 3]), submit([4, 5, 6])]);
    for (const { outputs } of answers)
      expect(Array.from(outputs[0]?.data as Float32Array)).toEqual([0, 0, 0]);
    // it is fast, so it runs inline, and its rows stay together
    expect(model.runner.placement).toBe('inline');
    const both = floats('x', [2, 3], [1, 2, 3, 3, 4, 5]);
    const { outputs } = await model.queue.submit({ inputs: [both], rows: 2, deadlineMs: 5_000 });
    expect(Array.from(outputs[0]?.data as Float32Array)).toEqual([-1, -1, -1, 1, 1, 1]);
  });

  test('a request that would hold up the loop and cannot be divided goes to a host', async () => {
    const model = await open('centred');
    expect(model.runner.pids()).toEqual([]);
    const rows = 200_000;
    const data = Array.from({ length: rows * 3 }, (_, i) => (i < 3 ? 1 : 0));
    const large = { inputs: [floats('x', [rows, 3], data)], rows, deadlineMs: 20_000 };
    const small = { inputs: [floats('x', [1, 3], [1, 2, 3])], rows: 1, deadlineMs: 20_000 };
    const [first, second, beside] = await Promise.all(
      [large, large, small].map((request) => model.queue.submit(request)),
    );
    // the mean of all rows is taken off each: they were not divided
    const mean = 1 / rows;
    const values = Array.from(first?.outputs[0]?.data as Float32Array);
    expect(values[0]).toBeCloseTo(1 - mean, 5);
    expect(values.at(-1)).toBeCloseTo(-mean, 7);
    expect(values.at(-1)).toBeLessThan(0);
    expect(second?.outputs).toEqual(first?.outputs);
    expect(Array.from(beside?.outputs[0]?.data as Float32Array)).toEqual([0, 0, 0]);
    expect(model.runner.pids()).toHaveLength(1);
  });

  test('a slow model runs in a host and does not hold up the event loop', async () => {
    const model = await open('cnn');
    expect(model.runner.placement).toBe('host');
    const input = floats('input', [1, 224, 224, 3], new Array<number>(150_528).fill(0.5));
    const digest = createHash('sha256')
      .update(new Uint8Array((input.data as Float32Array).buffer))
      .digest('hex');
    // the host hashes large inputs, as long as they are few
    const alone = await model.queue.submit({ inputs: [input], rows: 1, deadlineMs: 20_000 });
    expect(alone.inputDigests).toEqual([digest]);
    const before = process.cpuUsage();
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => model.queue.submit({ inputs: [input], rows: 1, deadlineMs: 20_000 })),
    );
    // inline, the runs would be time of this very process
    const { user, system } = process.cpuUsage(before);
    const computeMs = answers.reduce((sum, answer) => sum + answer.computeMs, 0);
    expect((user + system) / 1000).toBeLessThan(computeMs);
    expect(new Set(answers.map(({ outputs }) => String(outputs[0]?.data))).size).toBe(1);
    expect(model.runner.residentBytes()).toBeGreaterThan(0);
  });

  test('a graph with loops is never run inline', async () => {
    const model = await open('spinner');
    expect(model.runner.placement).toBe('host');
    expect(model.placementReason).toContain('loops');
  });

  test('the choice of outputs is kept', async () => {
    const model = await open('classifier');
    const inputs = [floats('float_input', [1, 10], new Array<number>(10).fill(1))];
    const { outputs } = await model.queue.submit({
      inputs,
      rows: 1,
      outputs: ['output_label'],
      deadlineMs: 1_000,
    });
    expect(outputs.map(({ name }) => name)).toEqual(['output_label']);
  });
});

describe('faults', () => {
  test('bytes that are not those of the digest never reach the runtime', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'engine-test-'));
    const path = join(folder, 'model.onnx');
    const bytes = readFileSync(graphOf('classifier').path);
    bytes[100] = (bytes[100] as number) ^ 1;
    writeFileSync(path, bytes);
    await expect(openModel({ ...graphOf('classifier'), path }, engine.options)).rejects.toMatchObject({
      code: 'digest_mismatch',
    });
    writeFileSync(path, 'not a model');
    const sha256 = createHash('sha256').update('not a model').digest('hex');
    await expect(openModel({ path, sha256 }, engine.options)).rejects.toMatchObject({
      code: 'model_load_failed',
    });
    await expect(openModel({ path: join(folder, 'none'), sha256 }, engine.options)).rejects.toMatchObject({
      code: 'artifact_missing',
    });
    rmSync(folder, { recursive: true });
  });

  test('an input that the graph refuses fails alone', async () => {
    const model = await open('counter');
    const whole = (name: string, rows: number): Tensor => ({
      name,
      dtype: 'int64',
      shape: [rows],
      data: new BigInt64Array(rows).fill(1n),
    });
    const flag: Tensor = { name: 'flag', dtype: 'bool', shape: [2], data: new Uint8Array([1, 0]) };
    const submit = (step: Tensor) =>
      model.queue.submit({ inputs: [whole('count', 2), step, flag], rows: 2, deadlineMs: 5_000 });
    const [good, bad] = await Promise.allSettled([submit(whole('step', 2)), submit(whole('step', 3))]);
    expect(good).toMatchObject({ status: 'fulfilled' });
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'inference_failed' } });
  });

  test('a host that is killed costs its requests a 503 and comes back; three times end in quarantine', async () => {
    const model = await open('spinner');
    for (const round of [1, 2, 3]) {
      const [pid] = model.runner.pids();
      const request = spin(model, 3_000_000n);
      await new Promise((resolve) => setTimeout(resolve, 50));
      process.kill(pid as number, 'SIGKILL');
      await expect(request).rejects.toMatchObject({ code: 'model_crashed' });
      if (round === 3) break;
      // requests that wait meanwhile are answered by the new host
      expect((await spin(model, 1n)).outputs).toHaveLength(1);
      expect(model.runner.state()).toBe('ready');
    }
    expect(model.runner.state()).toBe('quarantined');
    await expect(spin(model, 1n)).rejects.toMatchObject({
      code: 'model_crashed',
      message: expect.stringContaining('out of service'),
    });
  });

  test('a run without end is stopped, and a request past its deadline is not run', async () => {
    const model = await open('spinner', { bounds: { ...bounds, runMs: 400 } });
    const requests = [spin(model, 2_000_000_000n), spin(model, 2_000_000_000n), spin(model, 1n, 100)];
    const [endless, behind, late] = await Promise.allSettled(requests);
    expect(late).toMatchObject({
      reason: { code: 'deadline_exceeded', message: expect.stringContaining('was not run') },
    });
    expect(endless).toMatchObject({ reason: { code: 'deadline_exceeded' } });
    expect(behind).toMatchObject({
      reason: { code: expect.stringMatching(/deadline_exceeded|model_crashed/) },
    });
    await eventually(async () => expect(model.runner.state()).toBe('ready'));
    expect((await spin(model, 1n)).outputs).toHaveLength(1);
  });

  test('the queue has a bound in requests and in bytes', async () => {
    const limits = { requestsMax: 3, bytesMax: 20, joinedRowsMax: 1 };
    const model = await open('spinner', { limits });
    // two run, two of eight bytes fit twenty, the next does not
    const requests = Array.from({ length: 2 }, () => spin(model, 20_000n));
    await new Promise((resolve) => setTimeout(resolve, 20));
    requests.push(spin(model, 1n), spin(model, 1n));
    await expect(spin(model, 1n)).rejects.toMatchObject({ code: 'queue_full', status: 503 });
    await Promise.all(requests);
    expect(model.queue.stats()).toMatchObject({ depth: 0, bytes: 0, rejected: 1 });
  });

  test('closing answers what was taken, also in the same turn of the loop, and refuses the rest', async () => {
    const model = await openModel(graphOf('spinner'), engine.options);
    const taken = spin(model, 20_000n);
    const closing = model.close();
    const sameTurn = spin(model, 1n);
    await setImmediate();
    await setImmediate();
    await expect(spin(model, 1n)).rejects.toMatchObject({ code: 'shutting_down' });
    expect((await taken).outputs).toHaveLength(1);
    expect((await sameTurn).outputs).toHaveLength(1);
    await closing;
    expect(model.runner.state()).toBe('closed');
  });
});

test('cores come from the control group when it has a quota', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cgroup-test-'));
  expect(cgroupQuota(folder)).toBeUndefined();
  writeFileSync(join(folder, 'cpu.max'), '150000 100000\n');
  expect(cgroupQuota(folder)).toBe(1.5);
  expect(usableCores(folder)).toBe(1);
  writeFileSync(join(folder, 'cpu.max'), 'max 100000\n');
  expect(cgroupQuota(folder)).toBeUndefined();
  rmSync(folder, { recursive: true });
  expect([1, 2, 8, 64].map((cores) => hostsFor(0, cores, 1))).toEqual([1, 1, 4, 4]);
  expect(hostsFor(0, 64, 8)).toBe(1);
  expect(hostsFor(8, 2, 2)).toBe(4);
  expect([1, 2, 64].map((cores) => frontsFor(0, cores))).toEqual([1, 2, 8]);
  expect(frontsFor(3, 1)).toBe(3);
});
