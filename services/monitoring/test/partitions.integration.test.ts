import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import type { TestDatabase } from '@millrace/testing';
import { createTestDatabase } from '@millrace/testing';
import { createPartitions, dayOf, partitionName } from '../src/predictions/partitions.ts';

const DAY_MS = 86_400_000;
let testDatabase: TestDatabase;
let database: Database;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  const folder = fileURLToPath(new URL('../migrations', import.meta.url));
  await migrate({ url: testDatabase.url, schema: 'monitoring', folder });
  database = createDatabase({ url: testDatabase.url, applicationName: 'partitions-test' });
});

afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

async function names(): Promise<string[]> {
  const { rows } = await database.pool.query<{ name: string }>(
    "select relname as name from pg_class where relname ~ '^predictions_p[0-9]{8}$' order by 1",
  );
  return rows.map(({ name }) => name);
}

test('makes the days ahead and removes those past the retention', async () => {
  const partitions = createPartitions(database);
  const now = new Date('2026-11-21T23:59:59Z');
  const old = dayOf(new Date(now.getTime() - 8 * DAY_MS));
  const kept = dayOf(new Date(now.getTime() - 7 * DAY_MS));
  await partitions.ensure([old, kept]);
  expect(await partitions.maintain(now, 7)).toEqual([old]);
  expect(await names()).toEqual(
    [kept, '2026-11-21', '2026-11-22', '2026-11-23', '2026-11-24'].map(partitionName),
  );
});

test('two replicas may make the same day at once', async () => {
  const days = ['2027-01-01', '2027-01-02'];
  await Promise.all([1, 2, 3, 4].map(() => createPartitions(database).ensure(days)));
  expect(await names()).toEqual(expect.arrayContaining(days.map(partitionName)));
});
