import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createAuth, createKeySetHolder, createLogger, createMetrics } from '@millrace/service-kit';
import type { Method } from '../../src/grpc/transport/grpc-server.ts';
import { createGrpcServer } from '../../src/grpc/transport/grpc-server.ts';
import { createByteBudget, framed } from '../../src/grpc/transport/message-reader.ts';
import { createMemoryPool } from '../../src/http/memory-pool.ts';
import type { GrpcClient } from '../support/grpc-client.ts';
import { connectGrpc } from '../support/grpc-client.ts';

/** More than all buffers on the way to a caller hold. */
const ANSWER_BYTES = 30_000_000;
/** Little enough to be sent in time on a busy machine. */
const READ_BYTES = 2_000_000;
const limits = {
  messageBytesMax: 1_000_000,
  budget: createByteBudget(10_000_000),
  pool: createMemoryPool(1_000_000),
  alignAt: () => 0,
};

const echo: Method = { kind: 'unary', scope: 'public', handle: async (bytes) => framed(bytes) };
const large: Method = {
  kind: 'unary',
  scope: 'public',
  handle: async () => framed(Buffer.alloc(ANSWER_BYTES)),
};

const small: Method = {
  kind: 'unary',
  scope: 'public',
  handle: async () => framed(Buffer.alloc(READ_BYTES)),
};

const logger = createLogger({ service: 'test', level: 'fatal' });
const server = createGrpcServer(
  new Map([
    ['/test/Echo', echo],
    ['/test/Large', large],
    ['/test/Small', small],
  ]),
  {
    service: 'test',
    auth: createAuth({ mode: 'required', keySet: createKeySetHolder(), logger }),
    logger,
    metrics: createMetrics({ service: 'test', withDefaults: false }),
    limits,
    answerBytesMax: ANSWER_BYTES,
    timeouts: { receiveMs: 300, sendMs: 3_000, sweepMs: 50 },
  },
);
let client: GrpcClient;

beforeAll(async () => {
  client = connectGrpc(`127.0.0.1:${await server.listen('127.0.0.1', 0)}`);
});

afterAll(async () => {
  client.close();
  await server.close();
});

test('a message that does not come whole in time ends its call and gives its memory back', async () => {
  for (const sent of [Buffer.alloc(0), framed(Buffer.alloc(900_000)).subarray(0, 100)]) {
    const { stream, answer } = client.open('/test/Echo');
    stream.write(sent);
    expect(await answer).toMatchObject({ status: 4, code: 'deadline_exceeded' });
  }
  expect(limits.budget.take(10_000_000)).toBe(true);
  limits.budget.giveBack(10_000_000);
});

test('an answer that is not read in time is given up, and others go on', async () => {
  const { stream, answer } = client.open('/test/Large');
  stream.on('response', () => stream.pause());
  stream.end(framed(Buffer.alloc(1)));
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  expect(await client.call('/test/Echo', Buffer.from('on'))).toMatchObject({
    status: 0,
    messages: [Buffer.from('on')],
  });
  stream.resume();
  const { messages, status } = await answer.catch(() => ({ messages: [], status: -1 }));
  expect([status, messages]).toEqual([-1, []]);
});

test('an answer that is read comes whole', async () => {
  const { status, messages } = await client.call('/test/Small', Buffer.alloc(1));
  expect([status, messages[0]?.length]).toEqual([0, READ_BYTES]);
});
