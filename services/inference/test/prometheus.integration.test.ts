import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { TestPrometheus } from '@millrace/testing';
import { eventually, prometheusPrograms, startPrometheus } from '@millrace/testing';
import type { ServerProcess } from './support/server-process.ts';
import { startServerProcess } from './support/server-process.ts';
import type { Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

const REQUESTS = 30;
const REFUSED = 3;
/** One row more than the server takes at once. */
const tooMany = Array.from({ length: 101 }, () => ROW).flat();

let serving: Serving;
let server: ServerProcess;
/** Undefined where the machine has no Prometheus and cannot fetch one. */
let prometheus: TestPrometheus | undefined;

beforeAll(async () => {
  const programs = await prometheusPrograms();
  if (programs === undefined) return;
  serving = await startServing();
  server = await startServerProcess({ ...serving.environment, MILLRACE_TRITON_METRICS: 'true' }, 2);
  await serving.registry.add('watched', fixture('classifier'));
  prometheus = await startPrometheus(programs, { inference: new URL(server.origin).host });
}, 200_000);

afterAll(async () => {
  await prometheus?.stop();
  if (server !== undefined) await server.stop();
  await serving?.stop();
}, 60_000);

async function predict(features: object): Promise<number> {
  const response = await fetch(`${server.origin}/predict`, {
    method: 'POST',
    // a connection of its own each time, so that the fronts take turns
    headers: { connection: 'close', 'content-type': 'application/json' },
    body: JSON.stringify({ modelId: 'watched', features }),
  });
  await response.arrayBuffer();
  return response.status;
}

test('a real Prometheus finds what the fronts counted together, and takes every line', async () => {
  if (prometheus === undefined) return;
  const { query, check } = prometheus;
  for (let i = 0; i < REQUESTS; i += 1) expect(await predict({ float_input: ROW })).toBe(200);
  for (let i = 0; i < REFUSED; i += 1) expect(await predict({ float_input: tooMany })).toBe(413);

  const read = async (expression: string): Promise<number | undefined> => {
    const samples = await query(expression);
    expect(samples.length).toBeLessThanOrEqual(1);
    return samples[0]?.value;
  };
  const own = '{job="inference",service="inference",model="watched",version="v1"}';
  await eventually(
    async () => {
      expect(await read(`millrace_inference_request_seconds_count${own}`)).toBe(REQUESTS);
      expect(await read('millrace_inference_failures_total{model="watched",code="batch_too_large"}')).toBe(
        REFUSED,
      );
      expect(await read('nv_inference_request_success{model="watched",version="1"}')).toBe(REQUESTS);
    },
    { timeoutMs: 60_000, intervalMs: 250 },
  );
  expect(await read('up{job="inference"}')).toBe(1);
  const quantile = await read(
    `histogram_quantile(0.99, sum by (le) (millrace_inference_request_seconds_bucket${own}))`,
  );
  expect(quantile).toBeGreaterThan(0);
  expect(await read(`sum(millrace_inference_run_rows_sum${own})`)).toBeGreaterThanOrEqual(REQUESTS);
  expect(await read(`millrace_inference_queue_requests${own}`)).toBe(0);
  expect(await read(`millrace_inference_model_resident_bytes${own}`)).toBeGreaterThan(0);
  expect(await read('millrace_inference_telemetry_predictions{state="recorded"}')).toBe(REQUESTS);

  const complaints = await check(await (await fetch(`${server.origin}/metrics`)).text());
  expect(complaints.filter((line) => line.startsWith('millrace_'))).toEqual([]);
  await expect(check('millrace_inference_request_seconds{model=watched} 1\n')).rejects.toThrow('promtool');
}, 120_000);
