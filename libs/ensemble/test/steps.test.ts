import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { operations } from '../src/operations.ts';
import type { NumericData, Value } from '../src/value.ts';
import { newData } from '../src/value.ts';

type Bits = { dtype: 'float32'; shape: number[]; hex: string };
type Case = {
  kind: keyof typeof operations;
  parameters: Record<string, unknown>;
  inputs: Bits[];
  outputs: Bits[];
};
const cases = JSON.parse(
  readFileSync(new URL('./fixtures/expected.json', import.meta.url), 'utf8'),
) as Case[];

const bytesOf = (data: NumericData): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

function toValue({ dtype, shape, hex }: Bits): Value {
  const data = newData(dtype, shape);
  Buffer.from(hex, 'hex').copy(bytesOf(data));
  return { dtype, shape, data };
}

/** Runs a step on tensors whose rows are free. */
function run(kind: Case['kind'], parameters: unknown, inputs: readonly Value[]): Value[] {
  const specs = inputs.map(({ dtype, shape }) => ({ dtype, shape: [null, ...shape.slice(1)] }));
  return operations[kind].prepare(parameters, specs).run(inputs);
}

const floats = (shape: number[], data: number[]): Value => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from(data),
});
const longs = (data: bigint[]): Value => ({
  dtype: 'int64',
  shape: [data.length],
  data: BigInt64Array.from(data),
});

describe('built-in steps answer as NumPy does, to the bit', () => {
  test.each(cases.map((one, i) => [`${i} ${one.kind} ${one.inputs[0]?.dtype}`, one] as const))(
    '%s',
    (_, { kind, parameters, inputs, outputs }) => {
      const made = run(kind, parameters, inputs.map(toValue));
      expect(
        made.map(({ dtype, shape, data }) => ({
          dtype,
          shape: [...shape],
          hex: bytesOf(data as NumericData).toString('hex'),
        })),
      ).toEqual(outputs);
    },
  );
});

test('softmax stays finite where the powers themselves would not', () => {
  const [y] = run('softmax', {}, [floats([1, 3], [1e30, 1e30, -1e30])]) as [Value];
  expect([...(y.data as Float32Array)]).toEqual([0.5, 0.5, 0]);
});

test('softmax of a NaN is NaN in its row and nowhere else', () => {
  const [y] = run('softmax', {}, [floats([2, 2], [Number.NaN, 0, 0, 0])]) as [Value];
  expect([...(y.data as Float32Array)]).toEqual([Number.NaN, Number.NaN, 0.5, 0.5]);
});

test('top-k puts NaN first and keeps the order of equal elements', () => {
  const [values, indices] = run('top-k', { k: 4 }, [floats([1, 5], [2, Number.NaN, 2, 3, Number.NaN])]) as [
    Value,
    Value,
  ];
  expect([...(values.data as Float32Array)]).toEqual([Number.NaN, Number.NaN, 3, 2]);
  expect([...(indices.data as BigInt64Array)]).toEqual([1n, 4n, 3n, 0n]);
});

test('min-max holds its result between the ends when told to', () => {
  const parameters = { min: [0], max: [10], clip: true };
  const [y] = run('min-max', parameters, [floats([1, 3], [-5, 5, 50])]) as [Value];
  expect([...(y.data as Float32Array)]).toEqual([0, 0.5, 1]);
});

test('a cast ends at the ends of the type, and NaN becomes 0', () => {
  const given = floats([5], [300, -300, Number.NaN, Infinity, -1.5]);
  const [short] = run('cast', { to: 'int8' }, [given]) as [Value];
  expect([...(short.data as Int8Array)]).toEqual([127, -128, 0, 127, -1]);
  const [long] = run('cast', { to: 'uint64' }, [given]) as [Value];
  expect([...(long.data as BigUint64Array)]).toEqual([300n, 0n, 0n, 2n ** 64n - 1n, 0n]);
});

test('a label map names whole numbers beyond 2^53 exactly', () => {
  const labels = { '9007199254740993': 'odd', '9007199254740992': 'even', '-1': 'none' };
  const [y] = run('label-map', { labels }, [longs([9007199254740993n, -1n, 9007199254740992n])]) as [Value];
  expect(y.data).toEqual(['odd', 'none', 'even']);
});

test('a number without a label takes the fallback, or fails and is named', () => {
  const [y] = run('label-map', { labels: { 0: 'cat' }, fallback: '?' }, [longs([5n, 0n])]) as [Value];
  expect(y.data).toEqual(['?', 'cat']);
  expect(() => run('label-map', { labels: { 0: 'cat' } }, [longs([5n])])).toThrow(
    expect.objectContaining({
      code: 'inference_failed',
      message: expect.stringContaining('5'),
    }) as unknown as Error,
  );
});

test('strings can be joined', () => {
  const texts = (data: string[]): Value => ({ dtype: 'string', shape: [2, data.length / 2], data });
  const [y] = run('concat', {}, [texts(['a', 'b', 'c', 'd']), texts(['x', 'y'])]) as [Value];
  expect(y).toEqual({ dtype: 'string', shape: [2, 3], data: ['a', 'b', 'x', 'c', 'd', 'y'] });
});

test('one-hot of very many rows is refused before its memory is taken', () => {
  const rows = { dtype: 'int32', shape: [4_096], data: new Int32Array(4_096) } as const;
  expect(() => run('one-hot', { depth: 1_000_000 }, [rows])).toThrow(
    expect.objectContaining({ code: 'output_too_large' }) as unknown as Error,
  );
});

test('only steps along the rows mix them', () => {
  const spec = { dtype: 'float32', shape: [null, 3] } as const;
  expect(operations.softmax.prepare({ axis: 0 }, [spec]).mixesRows).toBe(true);
  expect(operations.softmax.prepare({}, [spec]).mixesRows).toBe(false);
  expect(operations['arg-max'].prepare({ axis: -2 }, [spec]).mixesRows).toBe(true);
});
