import { beforeEach, describe, expect, test } from '@jest/globals';
import type { ValueRow } from '../../src/features/feature-value.repository.ts';
import { createRowLoader } from '../../src/features/row-loader.ts';
import { createValueCache } from '../../src/features/value-cache.ts';

const VIEW = '0198a000-0000-7000-8000-000000000000';
/** What the database has: the version of each entity. */
let stored: Map<string, number>;
let asked: string[][];
let clock: number;
/** Reads wait for it. */
let gate: Promise<unknown>;

const row = (entity: string, version: number): ValueRow => ({
  entity,
  eventUs: version,
  createdUs: version,
  values: { version },
});

async function read(_viewId: string, entities: readonly string[]): Promise<ValueRow[]> {
  asked.push([...entities]);
  // as in a database, the answer is that of when the statement began
  const rows = entities.flatMap((entity) => {
    const version = stored.get(entity);
    return version === undefined ? [] : [row(entity, version)];
  });
  await gate;
  return rows;
}

const cacheOf = (options: { ageMs?: number; bytesMax?: number } = {}) =>
  createValueCache({ ageMs: 1_000, bytesMax: 1e6, read, now: () => clock, ...options });
type Cache = ReturnType<typeof cacheOf>;
const version = async (cache: Cache, entity: string) =>
  (await cache.get(VIEW, [entity])).get(entity)?.values.version ?? null;

beforeEach(() => {
  stored = new Map([
    ['a', 1],
    ['b', 1],
  ]);
  asked = [];
  clock = 0;
  gate = Promise.resolve();
});

describe('the cache of values', () => {
  test('serves a row for its age and no longer, and that there is none just so', async () => {
    const cache = cacheOf();
    expect([await version(cache, 'a'), await version(cache, 'nobody')]).toEqual([1, null]);
    stored.set('a', 2).set('nobody', 2);
    clock = 999;
    expect([await version(cache, 'a'), await version(cache, 'nobody')]).toEqual([1, null]);
    clock = 1_000;
    expect([await version(cache, 'a'), await version(cache, 'nobody')]).toEqual([2, 2]);
  });

  test('the age counts from before the row was read, not from when it came', async () => {
    const cache = cacheOf();
    let open: (value?: unknown) => void = () => undefined;
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const first = version(cache, 'a');
    clock = 800;
    open();
    await first;
    stored.set('a', 2);
    clock = 1_000;
    expect(await version(cache, 'a')).toBe(2);
  });

  test('a row that is written while it is read is neither kept nor given to who asks after the write', async () => {
    const cache = cacheOf();
    let open: (value?: unknown) => void = () => undefined;
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const before = version(cache, 'a');
    stored.set('a', 2);
    cache.forget(VIEW, ['a']);
    gate = Promise.resolve();
    expect(await version(cache, 'a')).toBe(2);
    open();
    expect(await before).toBe(1);
    expect(await version(cache, 'a')).toBe(2);
  });

  test('what is asked for at once is read once', async () => {
    const cache = cacheOf();
    const answers = await Promise.all([
      version(cache, 'a'),
      version(cache, 'a'),
      cache.get(VIEW, ['a', 'b', 'b']),
    ]);
    expect(answers[2]?.size).toBe(2);
    expect(asked).toEqual([['a'], ['b']]);
  });

  test('a read that fails is not remembered', async () => {
    const cache = cacheOf();
    gate = Promise.reject(new Error('away'));
    await expect(Promise.all([version(cache, 'a'), version(cache, 'a')])).rejects.toThrow('away');
    gate = Promise.resolve();
    expect(await version(cache, 'a')).toBe(1);
  });

  test('takes no more memory than it may; the longest unused goes', async () => {
    const cache = cacheOf({ bytesMax: 1_500 });
    for (const entity of ['a', 'b', 'c', 'd']) {
      await version(cache, entity);
      await version(cache, 'a');
      expect(cache.size().bytes).toBeLessThanOrEqual(1_500);
    }
    expect(cache.peek(VIEW, 'a')).not.toBeUndefined();
    expect(cache.peek(VIEW, 'b')).toBeUndefined();
  });

  test('without an age nothing is kept', async () => {
    const cache = cacheOf({ ageMs: 0 });
    await version(cache, 'a');
    stored.set('a', 2);
    expect(await version(cache, 'a')).toBe(2);
    expect(cache.size()).toEqual({ rows: 0, bytes: 0 });
  });
});

describe('the loader of rows', () => {
  test('what comes while the database is busy goes together, and each gets its own', async () => {
    let open: (value?: unknown) => void = () => undefined;
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const load = createRowLoader(read);
    const loads = Array.from({ length: 50 }, (_, i) => load(VIEW, [i % 2 === 0 ? 'a' : 'b']));
    open();
    const rows = await Promise.all(loads);
    expect(asked.length).toBe(5);
    expect(asked.at(-1)?.toSorted()).toEqual(['a', 'b']);
    expect(rows.map(([first]) => first?.entity)).toEqual(
      Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? 'a' : 'b')),
    );
  });

  test('no more wait than may; who comes later is refused', async () => {
    let open: (value?: unknown) => void = () => undefined;
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const load = createRowLoader(read);
    const many = Array.from({ length: 1_000 }, (_, i) => `e${i}`);
    const loads = Array.from({ length: 24 }, () => load(VIEW, many));
    expect(() => load(VIEW, many)).toThrow(expect.objectContaining({ code: 'queue_full' }));
    open();
    await Promise.all(loads);
    expect(await load(VIEW, ['a'])).toEqual([row('a', 1)]);
  });
});
