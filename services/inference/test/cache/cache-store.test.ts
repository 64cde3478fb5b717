import { describe, expect, test } from '@jest/globals';
import { createCacheStore } from '../../src/cache/cache-store.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';

const KIB = 1024;
const input = (...values: number[]): Tensor => ({
  name: 'x',
  dtype: 'float32',
  shape: [1, values.length],
  data: Float32Array.from(values),
});
const output = (value: number): Tensor => ({
  name: 'y',
  dtype: 'float32',
  shape: [1],
  data: Float32Array.of(value),
});
const text = (...data: string[]): Tensor => ({ name: 't', dtype: 'string', shape: [data.length], data });

const entry = (key: string, value: number, more: object = {}) => ({
  key,
  modelId: 'm',
  inputs: [input(value)],
  outputs: [output(value)],
  bytesMax: 1024 * KIB,
  ttlMs: 1_000,
  ...more,
});

describe('what is given again', () => {
  test('is of the same inputs to the bit: an equal key alone never decides', () => {
    const store = createCacheStore(1024 * KIB);
    store.put(entry('k', 0));
    expect(store.get('k', [input(0)])).toEqual([output(0)]);
    expect(store.get('k', [input(1)])).toBeUndefined();
    expect(store.get('k', [input(-0)])).toBeUndefined();
    expect(store.get('k', [input(0, 0)])).toBeUndefined();
    expect(store.get('k', [{ ...input(0), name: 'z' }])).toBeUndefined();
    expect(store.get('k', [{ ...input(0), shape: [1] }])).toBeUndefined();
    expect(store.get('other', [input(0)])).toBeUndefined();
  });

  test('is of texts too', () => {
    const store = createCacheStore(1024 * KIB);
    store.put(entry('k', 1, { inputs: [text('a', 'bc')] }));
    expect(store.get('k', [text('a', 'bc')])).toBeDefined();
    expect(store.get('k', [text('ab', 'c')])).toBeUndefined();
  });

  test('holds no memory of the request', () => {
    const store = createCacheStore(1024 * KIB);
    const own = input(1);
    store.put(entry('k', 1, { inputs: [own] }));
    (own.data as Float32Array)[0] = 2;
    expect(store.get('k', [input(1)])).toBeDefined();
    expect(store.get('k', [own])).toBeUndefined();
  });

  test('is younger than its time to live', () => {
    let now = 0;
    const store = createCacheStore(1024 * KIB, () => now);
    store.put(entry('a', 1));
    store.put(entry('b', 2, { ttlMs: 5_000 }));
    now = 999;
    expect(store.get('a', [input(1)])).toBeDefined();
    now = 1_000;
    expect(store.get('a', [input(1)])).toBeUndefined();
    now = 6_000;
    store.sweep();
    expect(store.stats()).toMatchObject({ entries: 0, bytes: 0 });
  });
});

describe('the bounds', () => {
  const large = (key: string, modelId: string, bytesMax = 1024 * KIB) =>
    entry(key, 1, { modelId, bytesMax, inputs: [input(...new Array<number>(KIB).fill(1))] });
  const sizeOfOne = 4 * KIB + 4 + 1_024;

  test('the answer used longest ago leaves first', () => {
    const store = createCacheStore(3 * sizeOfOne);
    for (const key of ['a', 'b', 'c']) store.put(large(key, 'm'));
    const { inputs } = large('a', 'm');
    expect(store.get('a', inputs)).toBeDefined();
    store.put(large('d', 'm'));
    expect(['a', 'b', 'c', 'd'].filter((key) => store.get(key, inputs) !== undefined)).toEqual([
      'a',
      'c',
      'd',
    ]);
    expect(store.stats()).toEqual({ entries: 3, bytes: 3 * sizeOfOne, evicted: 1 });
  });

  test('a model displaces only its own answers once it is at its bound', () => {
    const store = createCacheStore(100 * sizeOfOne);
    store.put(large('other', 'n'));
    for (const key of ['a', 'b', 'c']) store.put(large(key, 'm', 2 * sizeOfOne));
    const { inputs } = large('a', 'm');
    const held = ['other', 'a', 'b', 'c'].filter((key) => store.get(key, inputs) !== undefined);
    expect(held).toEqual(['other', 'b', 'c']);
  });

  test('what is larger than a bound is not kept, and a new answer replaces the old', () => {
    const store = createCacheStore(100 * sizeOfOne);
    store.put(large('a', 'm', sizeOfOne - 1));
    expect(store.stats()).toMatchObject({ entries: 0, bytes: 0 });
    store.put(large('a', 'm'));
    store.put(large('a', 'm'));
    expect(store.stats()).toMatchObject({ entries: 1, bytes: sizeOfOne });
  });
});
