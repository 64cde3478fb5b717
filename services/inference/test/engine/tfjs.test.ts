import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { EngineOptions, ServedModel } from '../../src/engine/served-model.ts';
import { openModel } from '../../src/engine/served-model.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';
import { createTestEngine } from '../support/test-engine.ts';
import type { TfjsFiles } from './tfjs-files.ts';
import { graphOf, placed, tfjsFixture, tfjsSamples } from './tfjs-files.ts';

const run = promisify(execFile);
const FRAMEWORK = fileURLToPath(new URL('../fixtures/run-tfjs.mjs', import.meta.url));
/** TensorFlow and TensorFlow.js add float32 in another order. */
const TOLERANCE = 1e-6;
const ROW = 32 * 32 * 3;
const engine = createTestEngine({ inlineRunMsMax: 1_000 });

const open = (files: TfjsFiles, changes: Partial<EngineOptions> = {}): Promise<ServedModel> =>
  engine.open(placed(files), changes);

afterAll(() => engine.close());

function pictures(model: ServedModel, count: number): Tensor {
  const name = model.signature.inputs[0]?.name ?? '';
  const data = new Float32Array(tfjsSamples.inputs.slice(0, count * ROW));
  return { name, dtype: 'float32', shape: [count, 32, 32, 3], data };
}

async function ask(model: ServedModel, inputs: Tensor[], rows: number): Promise<Tensor> {
  const { outputs } = await model.queue.submit({ inputs, rows, deadlineMs: 30_000 });
  return outputs[0] as Tensor;
}

/** What TensorFlow.js itself answers, in a process of its own. */
async function framework(name: string, rows: number): Promise<number[]> {
  const { stdout } = await run(process.execPath, [FRAMEWORK, name, String(rows)]);
  return JSON.parse(stdout) as number[];
}

const float = (name: string, dims: number[], more: object = {}) => ({
  [name]: {
    name: `${name}:0`,
    dtype: 'DT_FLOAT',
    tensorShape: { dim: dims.map((size) => ({ size: `${size}` })) },
    ...more,
  },
});
const placeholder = { name: 'x', op: 'Placeholder', attr: { dtype: { type: 'DT_FLOAT' } } };
const float32 = { T: { type: 'DT_FLOAT' } };

describe.each(['layers', 'graph'] as const)('a %s model', (name) => {
  test('answers to the bit as TensorFlow.js does, and as TensorFlow within its tolerance', async () => {
    const model = await open(tfjsFixture(name));
    expect(model.runner.placement).toBe('host');
    expect(model.placementReason).toMatch(/TensorFlow.js is in memory in model hosts only/);
    expect(model.signature.inputs).toMatchObject([{ dtype: 'float32', shape: [null, 32, 32, 3] }]);
    expect(model.signature.outputs).toMatchObject([{ name: 'scores', dtype: 'float32', shape: [null, 4] }]);
    const answer = await ask(model, [pictures(model, 4)], 4);
    expect(answer.shape).toEqual([4, 4]);
    expect([...(answer.data as Float32Array)]).toEqual(await framework(name, 4));
    for (const [i, expected] of tfjsSamples.outputs.flat().entries())
      expect(Math.abs((answer.data[i] as number) - expected)).toBeLessThan(TOLERANCE);
  });
});

test('rows are joined only where the answers are the same to the bit', async () => {
  const model = await open(tfjsFixture('layers'));
  const { isBatched, rowsJoinedMax, batchReason } = model.measurement;
  expect({ isBatched, batchReason }).toMatchObject(
    isBatched
      ? { batchReason: expect.stringMatching(/same to the bit/) }
      : { batchReason: expect.any(String) },
  );
  const rows = await Promise.all([0, 1, 2].map(() => ask(model, [pictures(model, 1)], 1)));
  expect(new Set(rows.map(({ data }) => String(data))).size).toBe(1);
  expect(rowsJoinedMax).toBeGreaterThanOrEqual(1);
});

test('a model whose rows see each other is served unbatched and says why', async () => {
  const dim = [-1, 2];
  const nodes = [
    placeholder,
    {
      name: 'axis',
      op: 'Const',
      attr: {
        value: { tensor: { dtype: 'DT_INT32', intVal: [0], tensorShape: {} } },
        dtype: { type: 'DT_INT32' },
      },
    },
    { name: 'mean', op: 'Mean', input: ['x', 'axis'], attr: { keep_dims: { b: true }, ...float32 } },
    { name: 'y', op: 'Sub', input: ['x', 'mean'], attr: float32 },
  ];
  const files = withConst(graphOf(nodes, { inputs: float('x', dim), outputs: float('y', dim) }));
  const model = await open(files);
  expect(model.measurement).toMatchObject({ isBatched: false, rowsJoinedMax: 1 });
  expect(model.measurement.batchReason).toMatch(
    /output "y" of a row differs( by \d+ units in the last place)? when 2 rows are joined/,
  );
});

/** Constants are weights in a TF.js graph. */
function withConst(files: TfjsFiles): TfjsFiles {
  const model = JSON.parse(String(files['model.json'])) as Record<string, unknown>;
  model.weightsManifest = [
    { paths: ['group1-shard1of1.bin'], weights: [{ name: 'axis', shape: [], dtype: 'int32' }] },
  ];
  return {
    'model.json': Buffer.from(JSON.stringify(model)),
    'group1-shard1of1.bin': Buffer.from(new Int32Array([0]).buffer),
  };
}

test('a graph whose sizes depend on values is run asynchronously', async () => {
  const nodes = [
    placeholder,
    { name: 'zero', op: 'ZerosLike', input: ['x'], attr: float32 },
    { name: 'more', op: 'Greater', input: ['x', 'zero'], attr: float32 },
    { name: 'y', op: 'Where', input: ['more'] },
  ];
  const outputs = {
    y: { name: 'y:0', dtype: 'DT_INT64', tensorShape: { dim: [{ size: '-1' }, { size: '1' }] } },
  };
  const model = await open(graphOf(nodes, { inputs: float('x', [-1]), outputs }));
  const data = new Float32Array([-1, 2, 0, 3]);
  const answer = await ask(model, [{ name: 'x', dtype: 'float32', shape: [4], data }], 4);
  expect(answer).toMatchObject({ dtype: 'int32', shape: [2, 1] });
  expect([...(answer.data as Int32Array)]).toEqual([1, 3]);
});

test('memory stays flat over thousands of runs', async () => {
  const model = await open(tfjsFixture('graph'));
  const input = pictures(model, 1);
  const many = async (count: number): Promise<number> => {
    for (let i = 0; i < count; i += 1) await ask(model, [input], 1);
    return model.runner.residentBytes();
  };
  const before = await many(500);
  const after = await many(2_000);
  expect(after - before).toBeLessThan(16 * 1024 * 1024);
}, 60_000);

test('a killed host is restarted with the model', async () => {
  const model = await open(tfjsFixture('graph'));
  const [pid] = model.runner.pids();
  process.kill(pid as number, 'SIGKILL');
  await eventually(() => expect(model.runner.pids()).not.toContain(pid));
  await eventually(() => expect(model.runner.state()).toBe('ready'), { timeoutMs: 20_000 });
  expect((await ask(model, [pictures(model, 1)], 1)).shape).toEqual([1, 4]);
});

describe('what is not loaded', () => {
  test('a byte of a weight file that was not signed', async () => {
    const graph = placed(tfjsFixture('layers'));
    writeFileSync(graph.weights[1]?.path as string, Buffer.alloc(2_920));
    await expect(openModel(graph, engine.options)).rejects.toMatchObject({ code: 'digest_mismatch' });
  });

  test('a model without one of its weight files', async () => {
    const { 'group1-shard2of2.bin': _left, ...files } = tfjsFixture('layers');
    await expect(open(files)).rejects.toMatchObject({ code: 'weights_mismatch' });
  });

  test('a model with an operator for which the wasm backend has no kernel', async () => {
    const nodes = [
      placeholder,
      { name: 'y', op: 'Einsum', input: ['x', 'x'], attr: { equation: { s: 'aSxpLT5p' }, ...float32 } },
    ];
    const files = graphOf(nodes, { inputs: float('x', [-1]), outputs: float('y', [-1]) });
    await expect(open(files)).rejects.toMatchObject({ code: 'unsupported_operator' });
  });

  test('weights that do not fit the layers', async () => {
    const files = tfjsFixture('layers');
    const text = String(files['model.json']).replace('"filters": 8', '"filters": 9');
    await expect(open({ ...files, 'model.json': Buffer.from(text) })).rejects.toMatchObject({
      code: 'model_load_failed',
    });
  });
});

test('neither a front nor a host of ONNX reads TensorFlow.js into memory', async () => {
  const script = `
    import { createRequire } from 'node:module';
    const base = process.argv[1];
    await import(base + 'start.ts');
    await import(base + 'engine/host-main.ts');
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('tensorflow'));
    console.log(JSON.stringify(loaded));
    process.exit(0);`;
  const source = new URL('../../src/', import.meta.url).href;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script, source]);
  expect(JSON.parse(stdout)).toEqual([]);
});
