import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { isLongRun } from '@millrace/testing';
import { IDLE_VERSIONS_MAX } from '../src/predictions/prediction-metrics.ts';
import type { ServerProcess } from './support/server-process.ts';
import { startServerProcess } from './support/server-process.ts';
import type { Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

/** Registered models; `MILLRACE_TEST_LONG=1` runs the promise. */
const MODELS = isLongRun ? 10_000 : 160;
/** Models that one front holds in memory, set below. */
const LOADED_MAX = 64;
const CONNECTIONS = 8;
/** Memory that the second half of the models may add to the server (bytes). */
const GROWTH_BYTES_MAX = 80 * 1024 * 1024;

let serving: Serving;
let server: ServerProcess;

beforeAll(async () => {
  serving = await startServing();
  server = await startServerProcess(
    { ...serving.environment, MILLRACE_LOADED_MODELS_MAX: String(LOADED_MAX) },
    2,
  );
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await serving?.stop();
}, 40_000);

/** The classifier with a text of its own: field 6 of ModelProto, doc_string, which may come last. */
function variant(i: number): Buffer {
  const text = Buffer.from(`model ${i}`);
  return Buffer.concat([fixture('classifier'), Buffer.from([0x32, text.length]), text]);
}

const nameOf = (i: number): string => `many-${i}`;

/** Runs `work` for 0 to `count` - 1, some at once. */
async function eachOf(count: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) {
      const i = next;
      next += 1;
      await work(i);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, one));
}

const INPUTS = JSON.stringify({
  inputs: [{ name: 'float_input', datatype: 'FP32', shape: [1, 10], data: ROW }],
});

async function ask(i: number): Promise<void> {
  const url = `${server.origin}/v2/models/${nameOf(i)}/infer`;
  const response = await fetch(url, { method: 'POST', body: INPUTS });
  const body = (await response.json()) as { model_name?: string };
  expect({ status: response.status, model: body.model_name }).toEqual({ status: 200, model: nameOf(i) });
}

/** Resident memory of the service and its fronts (bytes). */
function residentBytes(): number {
  return [server.pid, ...server.frontPids()]
    .map((pid) => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024)
    .reduce((sum, bytes) => sum + bytes, 0);
}

test(
  `${MODELS} registered models on one node: each answers, few are in memory`,
  async () => {
    await eachOf(MODELS, async (i) => {
      await serving.registry.add(nameOf(i), variant(i));
    });
    await eachOf(MODELS / 2, ask);
    const half = residentBytes();
    await eachOf(MODELS / 2, (i) => ask(MODELS / 2 + i));
    const all = residentBytes();
    expect(all - half).toBeLessThan(GROWTH_BYTES_MAX);

    const index = await (
      await fetch(`${server.origin}/v2/repository/index`, { method: 'POST', body: '{"ready":true}' })
    ).json();
    expect((index as unknown[]).length).toBeLessThanOrEqual(2 * LOADED_MAX);
    const text = await (await fetch(`${server.origin}/metrics`)).text();
    const series = [...text.matchAll(/request_seconds_count\{[^}]*model="many-/g)].length;
    expect(series).toBeLessThanOrEqual(2 * (IDLE_VERSIONS_MAX + LOADED_MAX));

    // those that left are loaded again on demand
    for (let i = 0; i < 20; i += 1) await ask((i * 7919) % MODELS);
  },
  isLongRun ? 1_800_000 : 90_000,
);
