import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { ask, classifierBody, readMailbox, submit } from '../support/bus-requests.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { startServerProcess } from '../support/server-process.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';

const REQUESTS = 500;

let serving: Serving;
let server: ServerProcess;

beforeAll(async () => {
  serving = await startServing();
  server = await startServerProcess(serving.environment, 2);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await serving.stop();
}, 40_000);

const deliveries = async (): Promise<number> =>
  (await serving.bus.jsm.consumers.info('MILLRACE_INFER', 'inference-infer-normal')).delivered.consumer_seq;

test('request/reply is shared by all processes that serve', async () => {
  const { modelId } = await serving.registry.add('shared', fixture('classifier'));
  for (let i = 0; i < 60; i += 1)
    expect((await ask(serving.bus, modelId, classifierBody())).json.error).toBeUndefined();
  const counts = await Promise.all(
    [serving.origin, server.origin].map(async (origin) => {
      const response = await fetch(`${origin}/v2/models/shared/stats`);
      const { model_stats: stats } = (await response.json()) as {
        model_stats: { inference_count: number }[];
      };
      return stats[0]?.inference_count ?? 0;
    }),
  );
  expect(counts[0]).toBeGreaterThan(0);
  expect(counts[1]).toBeGreaterThan(0);
  expect((counts[0] ?? 0) + (counts[1] ?? 0)).toBe(60);
}, 60_000);

test('a front killed in the middle of 500 requests costs none of them and repeats none', async () => {
  const { modelId } = await serving.registry.add('spinner', fixture('spinner'));
  const body = (n: number) =>
    JSON.stringify({
      id: String(n),
      inputs: [{ name: 'turns', shape: [1], datatype: 'INT64', data: [100 + n] }],
    });
  expect((await serving.post('/v2/models/spinner/infer', body(0))).status).toBe(200);

  const ids = await Promise.all(
    Array.from({ length: REQUESTS }, (_, n) =>
      submit(serving.bus, { modelId, body: body(n), mailbox: 'crash' }),
    ),
  );
  await eventually(async () => {
    const { state } = await serving.bus.jsm.streams.info('MILLRACE_RESULTS');
    expect(state.messages).toBeGreaterThan(REQUESTS / 5);
  });
  const [victim] = server.frontPids() as [number];
  process.kill(victim, 'SIGKILL');

  const results = await eventually(
    async () => {
      const { state } = await serving.bus.jsm.streams.info('MILLRACE_INFER');
      expect(state.messages).toBe(0);
      return readMailbox(serving.bus, 'crash');
    },
    { timeoutMs: 60_000, intervalMs: 250 },
  );
  expect(results).toHaveLength(REQUESTS);
  expect(new Set(results.map(({ id }) => id))).toEqual(new Set(ids));
  for (const { id, answer } of results) expect(answer.json.id).toBe(String(ids.indexOf(id)));
  // what the front had in hand came a second time, so the kill was in the middle of something
  expect(await deliveries()).toBeGreaterThan(REQUESTS);
}, 90_000);
