import { readFileSync } from 'node:fs';
import { processMemory, processTree } from '@millrace/embedded';
import type { Target } from './answers.ts';
import { askOnce, modelOf } from './answers.ts';
import type { LoadTool } from './load.ts';
import { closedLoop } from './load.ts';
import type { BenchModels } from './models.ts';
import { payloadsOf, writeRequests } from './payloads.ts';
import type { RunningServer } from './server.ts';

const SLOW_MODEL = 'slow';
const SLOW_CONNECTIONS = 8;
/** Files under 1 MB: the time to have them back is the time to load, not to fetch. */
const SMALL_MODELS = ['tiny', 'tree', 'cnn'];
const LOOP_DELAY = /^nodejs_eventloop_lag_p99_seconds(?:\{[^}]*\})? (\S+)$/gm;

/** One number of Millrace alone. */
export type Measure = { name: string; value: number; unit: string };

/** What only Millrace is asked: its event loop beside a slow model, and how long a small model takes to load. */
export async function measureMillrace(
  target: RunningServer,
  models: BenchModels,
  options: { tool: LoadTool; seconds: number; folder: string; signal: AbortSignal },
): Promise<Measure[]> {
  const loads = memoryOfTree(target.processes());
  for (const name of SMALL_MODELS) {
    const value = await loadTime(target, models, name);
    loads.push({ name: `unloaded ${name} to its next answer`, value, unit: 'ms' });
  }
  return [...(await loopDelay(target, models, options)), ...loads];
}

/** Model hosts hold a model each and end with it, so that they are counted apart. */
function memoryOfTree(roots: readonly number[]): Measure[] {
  const tree = roots.flatMap(processTree);
  const mib = (pids: readonly number[]): number =>
    pids.map(processMemory).reduce((sum, { ownBytes, fileBytes }) => sum + ownBytes + fileBytes, 0) / 2 ** 20;
  const [hosts, others] = [tree.filter(isHost), tree.filter((pid) => !isHost(pid))];
  return [
    {
      name: 'memory of supervisor and fronts after the loads',
      value: mib(others),
      unit: 'MiB',
    },
    {
      name: 'memory of model hosts after the loads',
      value: mib(hosts),
      unit: 'MiB',
    },
  ];
}

function isHost(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('host-main');
  } catch {
    return false;
  }
}

/** The event loop's own delay (p99) as the service reports it; reading it starts a new period. */
async function loopDelay(
  target: Target,
  models: BenchModels,
  { tool, seconds, folder, signal }: { tool: LoadTool; seconds: number; folder: string; signal: AbortSignal },
): Promise<Measure[]> {
  const model = modelOf(models.byName, SLOW_MODEL);
  const path = `/v2/models/${model.name}/infer`;
  const payloads = payloadsOf({ rows: 1 }, model, 'v2-binary');
  writeRequests(folder, { host: new URL(target.origin).host, path, headers: target.headers }, payloads);
  await askOnce(target, path, 'v2-binary', payloads[0] as (typeof payloads)[number]);
  await readLoopDelay(target);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const idle = await readLoopDelay(target);
  const load = { origin: target.origin, folder, connections: SLOW_CONNECTIONS, seconds };
  const { requestsPerSecond, errors } = await closedLoop(tool, load, signal);
  const loaded = await readLoopDelay(target);
  return [
    { name: 'event loop timer period p99, idle (10 ms is none late)', value: idle, unit: 'ms' },
    { name: 'event loop timer period p99, slow model under full load', value: loaded, unit: 'ms' },
    { name: 'slow model, binary, 8 connections', value: requestsPerSecond, unit: 'requests/s' },
    { name: 'slow model, errors', value: errors, unit: '' },
  ];
}

async function readLoopDelay(target: Target): Promise<number> {
  const response = await fetch(`${target.origin}/metrics`, { headers: target.headers });
  const text = await response.text();
  if (!response.ok) throw new Error(`/metrics answered ${response.status}`);
  const seconds = [...text.matchAll(LOOP_DELAY)].map(([, value]) => Number(value));
  if (seconds.length === 0) throw new Error('/metrics has no nodejs_eventloop_lag_p99_seconds');
  return Math.max(...seconds) * 1000;
}

async function loadTime(target: Target, models: BenchModels, name: string): Promise<number> {
  const model = modelOf(models.byName, name);
  const path = `/v2/models/${name}/infer`;
  const [payload] = payloadsOf({ rows: 1 }, model, 'v2-binary');
  if (payload === undefined) throw new Error(`${name} has no rows`);
  await askOnce(target, path, 'v2-binary', payload);
  const answer = await fetch(`${target.origin}/v1/inference/models`, { headers: target.headers });
  const { models: loaded } = (await answer.json()) as { models: { model: string; modelVersionId: string }[] };
  const id = loaded.find((one) => one.model === name)?.modelVersionId;
  const removed = await fetch(`${target.origin}/v1/inference/models/${id}`, {
    method: 'DELETE',
    headers: target.headers,
  });
  if (!removed.ok) throw new Error(`unloading ${name} answered ${removed.status}`);
  const start = performance.now();
  await askOnce(target, path, 'v2-binary', payload);
  return performance.now() - start;
}
