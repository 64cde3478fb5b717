import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { createMemoryPool } from '../../src/http/memory-pool.ts';

const KIB = 1024;
const IDLE_MS = 20;

test('the next request gets the memory of the last one', () => {
  const pool = createMemoryPool(64 * KIB);
  const first = pool.lease();
  const piece = first.take(3 * KIB);
  expect(piece.byteLength).toBe(4 * KIB);
  first.release();
  expect(pool.idleBytes()).toBe(4 * KIB);
  const second = pool.lease();
  expect(second.take(4 * KIB)).toBe(piece);
  expect(second.take(4 * KIB)).not.toBe(piece);
  expect(pool.idleBytes()).toBe(0);
});

test('no more is kept than the bound, and nothing small', () => {
  const pool = createMemoryPool(8 * KIB);
  const lease = pool.lease();
  for (let i = 0; i < 5; i += 1) lease.take(4 * KIB);
  lease.take(100);
  lease.release();
  expect(pool.idleBytes()).toBe(8 * KIB);
});

test('what no request needed is freed at once, what they needed stays', async () => {
  const pool = createMemoryPool(64 * KIB, IDLE_MS);
  const crowd = pool.lease();
  const pieces = Array.from({ length: 8 }, () => crowd.take(4 * KIB));
  crowd.release();
  expect(pool.idleBytes()).toBe(32 * KIB);
  // from now on one request at a time
  const end = performance.now() + 10 * IDLE_MS;
  while (performance.now() < end) {
    const one = pool.lease();
    expect(pieces).toContain(one.take(4 * KIB));
    one.release();
    await sleep(1);
  }
  expect(pool.idleBytes()).toBe(4 * KIB);
  expect(pieces.filter((piece) => !piece.detached)).toHaveLength(1);
  await eventually(async () => expect(pool.idleBytes()).toBe(0));
  expect(pieces.every((piece) => piece.detached)).toBe(true);
  const later = pool.lease();
  expect(later.take(4 * KIB).detached).toBe(false);
});
