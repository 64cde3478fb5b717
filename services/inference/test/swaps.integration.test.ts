import { Agent, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ModelVersionRegistered, type ResolvedVersion } from '@millrace/contracts';
import { isLongRun } from '@millrace/testing';
import type { ServerProcess } from './support/server-process.ts';
import { startServerProcess } from './support/server-process.ts';
import type { Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

/** `MILLRACE_TEST_LONG=1` runs the full lengths. */
const SWAPS = isLongRun ? 100 : 12;
const REQUESTS = isLongRun ? 100_000 : 3_000;
const CHURNS = isLongRun ? 1_000 : 40;
const CONNECTIONS = 16;

let serving: Serving;
let server: ServerProcess;

beforeAll(async () => {
  serving = await startServing();
  server = await startServerProcess(serving.environment, 2);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await serving?.stop();
}, 40_000);

type Reply = { status: number; body: string };

function post(agent: Agent, path: string, body: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${server.origin}${path}`,
      {
        agent,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': body.length },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const unload = (version: ResolvedVersion): Promise<Response> =>
  fetch(`${server.origin}/v1/inference/models/${version.modelVersionId}`, { method: 'DELETE' });

/** Makes a newer version the one that serves, as the registry's events do, and takes the older one out of memory. */
async function swap(model: string, older: ResolvedVersion): Promise<ResolvedVersion> {
  const newer = await serving.registry.add(model, fixture('classifier'));
  serving.bus.nc.publish(
    ModelVersionRegistered.subject,
    JSON.stringify({ model, modelVersionId: newer.modelVersionId }),
  );
  await serving.bus.nc.flush();
  // a version that is named loads the new one before the old one leaves
  const body = JSON.stringify({ modelId: model, version: newer.version, features: { float_input: ROW } });
  for (let i = 0; i < 2; i += 1) {
    const agent = new Agent({ keepAlive: false });
    expect((await post(agent, '/predict', body)).status).toBe(200);
  }
  expect((await unload(older)).status).toBe(204);
  return newer;
}

describe('swaps under load', () => {
  test(
    `no request fails over ${SWAPS} swaps`,
    async () => {
      let current = await serving.registry.add('swapped', fixture('classifier'));
      const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
      const body = JSON.stringify({
        inputs: [{ name: 'float_input', datatype: 'FP32', shape: [1, 10], data: ROW }],
      });
      const failures: Reply[] = [];
      const versions = new Set<string>();
      let answered = 0;
      let isSwapping = true;
      const client = async (): Promise<void> => {
        while (isSwapping || answered < REQUESTS) {
          const reply = await post(agent, '/v2/models/swapped/infer', body);
          answered += 1;
          if (reply.status === 200) versions.add(JSON.parse(reply.body).model_version);
          else failures.push(reply);
        }
      };
      const load = Promise.all(Array.from({ length: CONNECTIONS }, client));
      for (let i = 0; i < SWAPS; i += 1) {
        // the first version must have been loaded before it can leave
        const due = Math.max(CONNECTIONS, (REQUESTS / SWAPS) * i);
        while (answered < due) await new Promise((resolve) => setTimeout(resolve, 5));
        current = await swap('swapped', current);
      }
      isSwapping = false;
      await load;
      agent.destroy();
      expect(failures).toEqual([]);
      expect(answered).toBeGreaterThanOrEqual(REQUESTS);
      expect(versions.size).toBe(SWAPS + 1);
    },
    isLongRun ? 1_800_000 : 90_000,
  );

  test(
    `${CHURNS} loads and unloads give their memory back`,
    async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 2 });
      const version = await serving.registry.add('churned', fixture('classifier'));
      const features = { float_input: ROW };
      const body = JSON.stringify({ modelId: 'churned', features });
      const cycle = async (): Promise<void> => {
        expect((await post(agent, '/predict', body)).status).toBe(200);
        expect((await unload(version)).status).toBe(204);
      };
      const resident = async (): Promise<number> => {
        const text = await (await fetch(`${server.origin}/metrics`)).text();
        return Number(/^process_resident_memory_bytes\{[^}]*\} (\S+)/m.exec(text)?.[1]);
      };
      // the first cycles fill pools and caches
      for (let i = 0; i < CHURNS / 4; i += 1) await cycle();
      const before = await resident();
      for (let i = 0; i < CHURNS; i += 1) await cycle();
      const after = await resident();
      agent.destroy();
      // a short run sees the heap breathe: young collections are not forced
      expect(after / before).toBeLessThan(isLongRun ? 1.05 : 1.5);
    },
    isLongRun ? 1_800_000 : 90_000,
  );
});
