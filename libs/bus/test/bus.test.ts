import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Bus, OutboxRelay, Pull } from '@millrace/bus';
import {
  callRpc,
  connectBus,
  createOutbox,
  createOutboxRelay,
  dropDeadLetter,
  ensureStreams,
  listDeadLetters,
  redriveDeadLetter,
  rpcSubject,
  serveRpc,
  startConsumer,
} from '@millrace/bus';
import { AppError, defineEvent, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase } from '@millrace/database';
import type { PrivateNats, TestDatabase } from '@millrace/testing';
import { createTestDatabase, eventually, startNats } from '@millrace/testing';
import Type from 'typebox';
import { busTables, createBusSchema } from './schema.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const Counted = defineEvent({
  name: 'test.counted',
  doc: 'A test counted.',
  data: Type.Object({ n: Type.Integer() }),
});

let nats: PrivateNats;
let testDatabase: TestDatabase;
let database: Database;
let bus: Bus;
let relay: OutboxRelay;
let pulls: Pull[] = [];
const outbox = createOutbox(busTables, 'test');

beforeAll(async () => {
  nats = await startNats();
  testDatabase = await createTestDatabase();
  database = createDatabase({ url: testDatabase.url, applicationName: 'bus-test' });
  await createBusSchema(database);
  bus = await connectBus({
    url: nats.servicesUrl,
    name: 'test',
    inboxPrefix: '_INBOX_services',
    logger: silent,
  });
  await ensureStreams(bus);
});

beforeEach(() => {
  relay = createOutboxRelay({ database, tables: busTables, bus, schema: 'bus_test' });
});

afterEach(async () => {
  await Promise.all(pulls.map((pull) => pull.stop()));
  pulls = [];
  await relay.stop();
});

afterAll(async () => {
  await bus.close();
  await database.close();
  await testDatabase.drop();
  await nats.stop();
});

function consume(durable: string, apply: (n: number) => Promise<void> | void, maxDeliver?: number): void {
  pulls.push(
    startConsumer(
      { bus, database, tables: busTables },
      {
        event: Counted,
        durable,
        ...(maxDeliver === undefined ? {} : { maxDeliver }),
        apply: async (_tx, data) => apply(data.n),
      },
    ),
  );
}

const append = (aggregateId: string, n: number) =>
  database.transaction((tx) => outbox.append(tx, Counted, aggregateId, { n }, { tenant: 'acme' }));

describe('outbox and consumer', () => {
  test('facts arrive in order within their aggregate, also while NATS restarts', async () => {
    relay.start();
    const first = newId();
    const second = newId();
    const seen: number[] = [];
    const base = 1_000;
    consume('order', (n) => {
      if (n >= base) seen.push(n);
    });
    for (let n = 0; n < 20; n += 1) await append(n % 2 === 0 ? first : second, base + n);
    await nats.killHard();
    for (let n = 20; n < 40; n += 1) await append(n % 2 === 0 ? first : second, base + n);
    await nats.start();
    await eventually(() => expect(new Set(seen).size).toBe(40), { timeoutMs: 20_000 });
    for (const parity of [0, 1]) {
      const ofOne = seen.filter((n) => n % 2 === parity);
      expect(ofOne).toEqual([...ofOne].sort((a, b) => a - b));
    }
    expect(seen).toHaveLength(40);
    await eventually(async () => expect(await relay.pending()).toBe(0));
  });

  test('a transaction that rolls back publishes nothing', async () => {
    relay.start();
    const seen: number[] = [];
    consume('rollback', (n) => void (n === 2_000 && seen.push(n)));
    await expect(
      database.transaction(async (tx) => {
        await outbox.append(tx, Counted, newId(), { n: 2_000 }, { tenant: 'acme' });
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    await append(newId(), 2_001);
    await eventually(async () => expect(await relay.pending()).toBe(0));
    expect(seen).toEqual([]);
  });

  test('a repeated delivery and a repeated publish take effect once', async () => {
    relay.start();
    const seen: number[] = [];
    const id = await append(newId(), 3_000);
    consume('twice', (n) => void (n === 3_000 && seen.push(n)));
    await eventually(() => expect(seen).toEqual([3_000]));
    // the same event under another message id passes the stream's duplicate window, not the inbox
    const { headers } = await import('@nats-io/transport-node');
    const repeated = headers();
    repeated.set('ce-id', id);
    await bus.js.publish(Counted.subject, JSON.stringify({ n: 3_000 }), {
      headers: repeated,
      msgID: newId(),
    });
    await append(newId(), 3_001);
    await eventually(async () => {
      const info = await bus.jsm.consumers.info('MILLRACE_EVENTS', 'twice');
      expect(info.num_pending + info.num_ack_pending).toBe(0);
    });
    expect(seen).toEqual([3_000]);
  });

  test('data that do not fit the schema are refused before they are written', async () => {
    await expect(append(newId(), 1.5)).rejects.toMatchObject({ code: 'internal' });
  });

  test('a payload over the bound is refused with both sizes', async () => {
    const message = { subject: 'millrace.evt.test.big.v1', type: 't', aggregate: 'a', aggregateId: newId() };
    await expect(
      database.transaction((tx) => outbox.appendMessage(tx, { ...message, data: 'x'.repeat(70_000) })),
    ).rejects.toThrow(/70002 bytes, over 65536/);
  });

  test('an error that may pass is tried again, a refusal goes to the dead letters and can be sent back', async () => {
    relay.start();
    let attempts = 0;
    consume('flaky', (n) => {
      if (n !== 4_000) return;
      attempts += 1;
      if (attempts < 3) throw new Error('not yet');
    });
    await append(newId(), 4_000);
    await eventually(() => expect(attempts).toBe(3), { timeoutMs: 15_000 });

    let isFixed = false;
    const accepted: number[] = [];
    consume('strict', (n) => {
      if (n !== 4_001) return;
      if (!isFixed) throw new AppError('invalid_request', 'n is not welcome\r\nhere');
      accepted.push(n);
    });
    await append(newId(), 4_001);
    const letter = await eventually(async () => {
      const [found] = (await listDeadLetters(bus, { limit: 10 })).filter(
        (candidate) => candidate.consumer === 'strict',
      );
      expect(found).toMatchObject({ code: 'invalid_request', subject: Counted.subject, deliveries: 1 });
      return found;
    });
    expect(letter?.message).toBe('n is not welcome here');
    isFixed = true;
    await redriveDeadLetter(bus, letter?.sequence ?? 0);
    await eventually(() => expect(accepted).toEqual([4_001]));
    await expect(dropDeadLetter(bus, letter?.sequence ?? 0)).rejects.toMatchObject({
      code: 'dead_letter_not_found',
    });
  });

  test('a message that is not JSON goes to the dead letters', async () => {
    consume('garbage', () => undefined);
    await bus.js.publish(Counted.subject, 'not json', { msgID: newId() });
    await eventually(async () => {
      const letters = await listDeadLetters(bus, { limit: 50 });
      expect(letters.some((letter) => letter.consumer === 'garbage' && letter.code === 'invalid_json')).toBe(
        true,
      );
    });
  });
});

describe('request/reply', () => {
  const echo = { request: Type.Object({ text: Type.String() }), reply: Type.Object({ text: Type.String() }) };

  test('answers, carries errors with their code, and checks the request', async () => {
    const server = serveRpc(bus, 'echo', 'say', echo, async ({ text }) => {
      if (text === 'fail') throw new AppError('model_not_found', 'No model is named fail.');
      return { text };
    });
    await bus.nc.flush();
    expect(await callRpc(bus, 'echo', 'say', echo, { text: 'hello' })).toEqual({ text: 'hello' });
    await expect(callRpc(bus, 'echo', 'say', echo, { text: 'fail' })).rejects.toMatchObject({
      code: 'model_not_found',
      message: 'No model is named fail.',
    });
    await expect(callRpc(bus, 'echo', 'say', echo, {} as never)).rejects.toMatchObject({
      code: 'invalid_request',
    });
    const raw = await bus.nc.request(rpcSubject('echo', 'say'), 'no json', { timeout: 2_000 });
    expect(raw.json()).toMatchObject({ error: { code: 'invalid_json' } });
    await server.stop();
    await expect(callRpc(bus, 'echo', 'say', echo, { text: 'x' })).rejects.toMatchObject({
      code: 'dependency_unavailable',
      retryable: true,
    });
  });
});
