import { expect, test } from '@jest/globals';
import { AppError } from '@millrace/contracts';
import { createGroupCommit } from '../../src/tracking/group-commit.ts';

/** A writer whose writes end when they are let, and what it was given. */
function heldWriter(fails: (items: readonly number[]) => Error | undefined = () => undefined) {
  const groups: (readonly number[])[] = [];
  const gates: (() => void)[] = [];
  return {
    groups,
    release: () => gates.shift()?.(),
    async write(items: readonly number[]): Promise<string[]> {
      groups.push(items);
      await new Promise<void>((resolve) => gates.push(resolve));
      const fault = fails(items);
      if (fault !== undefined) throw fault;
      return items.map((item) => `wrote ${item}`);
    },
  };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));
const sizes = { sizeOf: (item: number) => item, sizeMax: 10, waitingMax: 6 };

test('one that comes alone is written at once; those that come meanwhile go together, within the bound', async () => {
  const writer = heldWriter();
  const commits = createGroupCommit({ ...sizes, write: writer.write });
  const first = commits.add(1);
  await turn();
  expect(writer.groups).toEqual([[1]]);
  const others = [4, 5, 2, 50, 3].map((item) => commits.add(item));
  writer.release();
  await expect(first).resolves.toBe('wrote 1');
  for (let i = 0; i < 4; i++) {
    await turn();
    writer.release();
  }
  await expect(Promise.all(others)).resolves.toEqual([
    'wrote 4',
    'wrote 5',
    'wrote 2',
    'wrote 50',
    'wrote 3',
  ]);
  expect(writer.groups).toEqual([[1], [4, 5], [2], [50], [3]]);
});

test('over the bound of those that wait it says so, and goes on', async () => {
  const writer = heldWriter();
  const commits = createGroupCommit({ ...sizes, write: writer.write });
  const kept = Array.from({ length: 6 }, () => commits.add(1));
  await expect(commits.add(1)).rejects.toMatchObject({ code: 'queue_full', retryable: true });
  await turn();
  writer.release();
  await expect(Promise.all(kept)).resolves.toHaveLength(6);
});

test('an item that cannot be written fails alone; without a database all fail, once', async () => {
  const poisoned = heldWriter((items) => (items.includes(2) ? new Error('bad item') : undefined));
  const commits = createGroupCommit({ ...sizes, write: poisoned.write });
  const results = Promise.allSettled([1, 2, 3].map((item) => commits.add(item)));
  for (let i = 0; i < 8; i++) {
    await turn();
    poisoned.release();
  }
  expect((await results).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  const away = heldWriter(() => new AppError('database_unavailable', 'Postgres does not answer.'));
  const others = createGroupCommit({ ...sizes, write: away.write });
  const all = Promise.allSettled([1, 2].map((item) => others.add(item)));
  await turn();
  away.release();
  expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(away.groups).toEqual([[1, 2]]);
});
