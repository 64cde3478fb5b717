import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { FaultProxy, TestDatabase } from '@millrace/testing';
import { createFaultProxy, createTestDatabase } from '@millrace/testing';
import { sql } from 'drizzle-orm';
import type { Database } from '../src/index.ts';
import { createDatabase } from '../src/index.ts';

const ANSWER_TIMEOUT_MS = 500;
const AWAY = { code: 'database_unavailable', retryable: true };

let server: TestDatabase;
let proxy: FaultProxy;
let database: Database;

beforeEach(async () => {
  server = await createTestDatabase();
  proxy = await createFaultProxy(server.url);
  database = createDatabase({
    url: proxy.through(server.url),
    applicationName: 'test',
    maxConnections: 1,
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
  });
  await database.pool.query('create table kept (id integer primary key)');
});

afterEach(async () => {
  proxy.heal();
  await database.close();
  await proxy.close();
  await server.drop();
});

const insert = (id: number) =>
  database.transaction(async (tx) => void (await tx.execute(sql`insert into kept values (${id})`)));

test('a connection that carries nothing any more is given up, and the pool goes on', async () => {
  proxy.halfOpen();
  await expect(database.pool.query('select 1')).rejects.toThrow('Query read timeout');
  await expect(insert(1)).rejects.toMatchObject(AWAY);
  proxy.heal();
  await insert(2);
  await expect(database.ping()).resolves.toBeUndefined();
}, 30_000);

test('a transaction whose connection breaks leaves its place in the pool, however often', async () => {
  for (let i = 0; i < 3; i += 1) {
    // one in hand: the transaction begins on a connection that is dead already
    await database.ping();
    proxy.halfOpen();
    const begun = insert(i);
    const refused = expect(begun).rejects.toMatchObject(AWAY);
    await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.cut();
    await refused;
    proxy.heal();
  }
  await insert(10);
  const { rows } = await database.pool.query('select id from kept');
  expect(rows).toEqual([{ id: 10 }]);
}, 30_000);

test('a transaction that throws changes nothing and keeps its connection', async () => {
  const connectionOf = async () => (await database.pool.query('select pg_backend_pid() as pid')).rows[0].pid;
  const before = await connectionOf();
  await expect(
    database.transaction(async (tx) => {
      await tx.execute(sql`insert into kept values (1)`);
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  await expect(insert(1)).resolves.toBeUndefined();
  await expect(insert(1)).rejects.toThrow();
  expect(await connectionOf()).toBe(before);
});
