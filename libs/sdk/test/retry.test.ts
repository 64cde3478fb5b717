import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Client } from '../src/index.ts';
import { createClient } from '../src/index.ts';

type Turn = (response: ServerResponse) => void;

/** What the server answers next; the last answer goes on for ever. */
let turns: Turn[] = [];
let arrivals: { at: number; url: string | undefined }[] = [];
const server = createServer((request: IncomingMessage, response) => {
  arrivals.push({ at: performance.now(), url: request.url });
  const turn = turns.length > 1 ? turns.shift() : turns[0];
  turn?.(response);
});
let client: Client;
let url: string;

const busy =
  (status: number, headers: Record<string, string> = {}): Turn =>
  (response) =>
    void response
      .writeHead(status, headers)
      .end(JSON.stringify({ code: status === 429 ? 'rate_limited' : 'queue_full', error: 'busy' }));
const fine: Turn = (response) =>
  void response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ model_name: 'm', model_version: '3', outputs: [] }));
const never: Turn = () => undefined;
const ask = (options: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
  client.infer({ model: 'm', inputs: [] }, options);

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = createClient({ url });
});
beforeEach(() => {
  arrivals = [];
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

test('a busy platform is asked again, after the time it names', async () => {
  turns = [busy(503), busy(429, { 'retry-after': '1' }), fine];
  expect(await ask()).toMatchObject({ model: 'm', version: '3' });
  expect(arrivals).toHaveLength(3);
  const [first, second, third] = arrivals.map(({ at }) => at) as [number, number, number];
  expect(second - first).toBeGreaterThan(90);
  expect(third - second).toBeGreaterThan(950);
});

test('it is asked four times at most, then says its own error', async () => {
  turns = [busy(503, { 'retry-after': '0' })];
  await expect(ask()).rejects.toMatchObject({ code: 'queue_full', details: { httpStatus: 503 } });
  expect(arrivals).toHaveLength(4);
  arrivals = [];
  const once = createClient({ url, retries: 0 });
  await expect(once.infer({ model: 'm', inputs: [] })).rejects.toMatchObject({ code: 'queue_full' });
  expect(arrivals).toHaveLength(1);
});

test('a wait that the time left does not allow is not begun', async () => {
  turns = [busy(503, { 'retry-after': '300' })];
  const startedAt = performance.now();
  await expect(ask({ timeoutMs: 200_000 })).rejects.toMatchObject({ code: 'queue_full' });
  expect(performance.now() - startedAt).toBeLessThan(100_000);
});

test('what must not arrive twice is not sent twice', async () => {
  turns = [busy(503)];
  const feedback = { inferenceId: 'i', outcome: {} };
  await expect(client.feedback(feedback)).rejects.toMatchObject({ code: 'queue_full' });
  expect(arrivals).toHaveLength(1);
});

test('other errors are final', async () => {
  turns = [(response) => void response.writeHead(400).end('{"code":"invalid_shape","error":"no"}')];
  await expect(ask()).rejects.toMatchObject({ code: 'invalid_shape', message: 'no' });
  expect(arrivals).toHaveLength(1);
});

test('a signal ends the request and the wait for another, a timeout says so', async () => {
  turns = [never];
  const signal = AbortSignal.timeout(100);
  await expect(ask({ signal })).rejects.toMatchObject({ code: 'request_cancelled' });
  turns = [busy(503, { 'retry-after': '20' })];
  await expect(ask({ signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
    code: 'request_cancelled',
  });
  turns = [never];
  await expect(ask({ timeoutMs: 100 })).rejects.toMatchObject({
    code: 'dependency_unavailable',
    message: expect.stringContaining('in time'),
  });
});
