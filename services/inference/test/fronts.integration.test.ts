import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { ServerProcess } from './support/server-process.ts';
import { startServerProcess } from './support/server-process.ts';
import type { Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

let serving: Serving;
let server: ServerProcess;

beforeAll(async () => {
  serving = await startServing();
  server = await startServerProcess(serving.environment, 2);
}, 60_000);

afterAll(async () => {
  if (server !== undefined) await server.stop();
  await serving?.stop();
}, 40_000);

async function json(method: string, path: string, body?: unknown): Promise<{ status: number; body: never }> {
  // a connection of its own each time, so that the fronts take turns
  const response = await fetch(`${server.origin}${path}`, {
    method,
    headers: { connection: 'close', ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as never };
}

const classify = (model: string) =>
  json('POST', '/predict', { modelId: model, features: { float_input: ROW } });

async function metric(pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${server.origin}/metrics`)).text();
  return Number(pattern.exec(text)?.[1]);
}

const untilTwoListen = () =>
  eventually(async () => expect(server.listeningPids()).toHaveLength(2), { timeoutMs: 30_000 });

describe('two fronts on one port', () => {
  test('statistics, metrics, reports and telemetry speak for the server', async () => {
    await serving.registry.add('shared', fixture('classifier'));
    for (let i = 0; i < 20; i += 1) expect((await classify('shared')).status).toBe(200);

    const { body: stats } = await json('GET', '/v2/models/shared/stats');
    expect(stats).toMatchObject({ model_stats: [{ name: 'shared', inference_count: 20 }] });
    const { body: report } = await json('GET', '/v1/inference/models');
    expect(report).toMatchObject({
      models: [{ model: 'shared', placement: 'inline', queue: { requests: 20 } }],
      telemetry: { recorded: 20, dropped: 0 },
    });
    const count = await metric(
      /^millrace_inference_request_seconds_count\{[^}]*model="shared"[^}]*\} (\d+)/m,
    );
    expect(count).toBe(20);
    expect(server.frontPids()).toHaveLength(2);
  });

  test('an unload by name holds for every front, also for one that starts later', async () => {
    await serving.registry.add('withdrawn', fixture('classifier'));
    expect((await classify('withdrawn')).status).toBe(200);
    expect((await json('POST', '/v2/repository/models/withdrawn/unload', {})).status).toBe(200);
    for (let i = 0; i < 6; i += 1) expect((await classify('withdrawn')).status).toBe(503);

    const [victim] = server.frontPids() as [number];
    process.kill(victim, 'SIGKILL');
    await eventually(
      async () => {
        const pids = server.frontPids();
        expect(pids).toHaveLength(2);
        expect(pids).not.toContain(victim);
        const { body } = await json('POST', '/v2/repository/index', {});
        expect(body).toContainEqual(expect.objectContaining({ name: 'withdrawn', state: 'UNAVAILABLE' }));
      },
      { timeoutMs: 30_000 },
    );
    await untilTwoListen();
    for (let i = 0; i < 6; i += 1) expect((await classify('withdrawn')).status).toBe(503);
    expect((await json('POST', '/v2/repository/models/withdrawn/load', {})).status).toBe(200);
    for (let i = 0; i < 6; i += 1) expect((await classify('withdrawn')).status).toBe(200);
  }, 60_000);

  test('while a front is killed the other answers', async () => {
    const [victim] = server.frontPids() as [number];
    process.kill(victim, 'SIGKILL');
    await eventually(async () => expect(server.frontPids()).not.toContain(victim), { timeoutMs: 5_000 });
    // a connection that was on its way to the front when it died gets no answer; its caller comes again
    const outcomes = [];
    for (let i = 0; i < 40; i += 1) {
      const late = new Promise<'no answer'>((resolve) => setTimeout(resolve, 10_000, 'no answer'));
      outcomes.push(await Promise.race([classify('shared').then(({ status }) => status), late]));
    }
    expect(outcomes.filter((outcome) => outcome !== 200 && outcome !== 'no answer')).toEqual([]);
    expect(outcomes.filter((outcome) => outcome === 'no answer').length).toBeLessThanOrEqual(1);
    await untilTwoListen();
  }, 60_000);

  test('what one front knows of a name serves in all while the registry is away', async () => {
    await serving.registry.add('known', fixture('classifier'));
    // one request, so one front was asked
    expect((await classify('known')).status).toBe(200);
    await serving.registry.stop();
    for (let i = 0; i < 12; i += 1) expect((await classify('known')).status).toBe(200);
    expect(await classify('unknown')).toMatchObject({
      status: 503,
      body: { code: 'dependency_unavailable' },
    });
  });

  test('a stop ends every process and answers what is open', async () => {
    const pids = server.frontPids();
    const open = Array.from({ length: 10 }, () => classify('shared'));
    await Promise.all(open);
    expect(await server.stop()).toBe(0);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  }, 40_000);
});
