import { expect, test } from '@jest/globals';
import { canJoin, joinRows, sliceRows } from '../src/engine/join-tensors.ts';
import { createMemoryPool } from '../src/http/memory-pool.ts';
import type { Tensor } from '../src/tensors/tensor.ts';

const text = (...data: string[]): Tensor => ({ name: 's', dtype: 'string', shape: [data.length], data });

test('rows of texts are joined and taken apart again', () => {
  const joined = joinRows([text('a'), text('b', 'c')]);
  expect(joined).toEqual(text('a', 'b', 'c'));
  expect(sliceRows(joined, 1, 3)).toEqual(text('b', 'c'));
  expect(canJoin([text('a')], [text('b', 'c')])).toBe(true);
});

test('rows of different width are not joined', () => {
  const wide = (width: number): Tensor => ({
    name: 'x',
    dtype: 'float32',
    shape: [1, width],
    data: new Float32Array(width),
  });
  expect(canJoin([wide(2)], [wide(3)])).toBe(false);
});

test('memory given back is handed out again, within its bound, and never twice', () => {
  const pool = createMemoryPool(2 ** 20);
  const lease = pool.lease();
  const [first, second] = [lease.take(600_000), lease.take(600_000)];
  expect(first).not.toBe(second);
  lease.release();
  lease.release();
  expect(pool.idleBytes()).toBe(2 ** 20);
  const again = pool.lease();
  expect(
    [again.take(700_000), again.take(700_000)].filter((piece) => piece === first || piece === second),
  ).toHaveLength(1);
  expect(again.take(10).byteLength).toBe(10);
});
