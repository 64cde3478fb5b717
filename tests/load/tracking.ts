// npm run bench:tracking: Millrace's MLflow API beside MLflow's own server on the same Postgres. `--help` says what.
import { ensureEnvironment, environmentsRoot } from '@millrace/embedded';
import { startTestInfra, TEST_INFRA_VARIABLE } from '@millrace/testing';
import { readOptions, runScript } from '../../scripts/lib/command-line.ts';
import { fillRuns } from './tracking/fill.ts';
import type { Load } from './tracking/load.ts';
import { postRequest, runLoad } from './tracking/load.ts';
import type { TrackingServer } from './tracking/servers.ts';
import { startMillrace, startMlflow } from './tracking/servers.ts';

const USAGE = `npm run bench:tracking [-- OPTIONS]

Starts Postgres with its flush to disk on, then Millrace's registry and \`mlflow server\` one after the other on it, and
sends both the same requests from one client on the same cores. Prints rates, latencies and ratios.
  --seconds N   length of each load (default 5)
  --runs N      runs that are searched (default 100000)`;

const SECONDS_MAX = 120;
const RUNS_MAX = 1_000_000;
const WARM_UP_SECONDS = 1;
const START_SECONDS = 6;
const SEARCHES_MAX = 100;
const BATCH_METRICS = 1_000;
const print = (text: string): void => void process.stdout.write(`${text}\n`);

const SEARCHES = {
  'newest 100': {},
  'metric > and param =': { filter: "metrics.acc > 0.9 AND params.lr = '3'" },
  'by metric, 100 best': { order_by: ['metrics.acc DESC'] },
  'tag = (1 in 200)': { filter: "tags.team = 'team7'" },
  'rare metric range': { filter: 'metrics.acc > 0.9995' },
  'param LIKE, by metric': { filter: "params.model LIKE 'resnet4%'", order_by: ['metrics.loss ASC'] },
  'newest 1,000': { max_results: 1_000 },
} as const;

async function post(server: TrackingServer, path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`http://${server.address}/api/2.0/mlflow/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${server.name} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

async function measure(server: TrackingServer, seconds: number, runs: number): Promise<Map<string, Load>> {
  const cells = new Map<string, Load>();
  const { experiment_id: experimentId } = await post(server, 'experiments/create', { name: 'bench' });
  const newRun = async (): Promise<string> => {
    const { run } = await post(server, 'runs/create', {
      experiment_id: experimentId,
      start_time: Date.now(),
    });
    return (run as { info: { run_id: string } }).info.run_id;
  };
  const cell = async (
    name: string,
    connections: number,
    request: (index: number) => [path: string, body: unknown],
    requestsMax?: number,
  ): Promise<void> => {
    const next = (index: number): Buffer => postRequest(server.address, ...request(index));
    let offset = 0;
    const load = { connections, next: (index: number) => next(offset + index) };
    await runLoad(server.address, { ...load, seconds: WARM_UP_SECONDS });
    offset = 1_000_000;
    const bounded = requestsMax === undefined ? {} : { requestsMax };
    const result = await runLoad(server.address, { ...load, seconds, ...bounded });
    cells.set(name, result);
    print(
      `${server.name.padEnd(9)} ${name.padEnd(32)} ${result.perSecond.toFixed(1).padStart(9)}/s  p50 ${result.p50Ms.toFixed(2)} ms  p95 ${result.p95Ms.toFixed(2)} ms`,
    );
  };

  // every worker of a server imports and connects at its first requests
  const scratch = await newRun();
  await runLoad(server.address, {
    connections: 8,
    seconds: START_SECONDS,
    next: (step) =>
      postRequest(server.address, 'runs/log-metric', {
        run_id: scratch,
        key: 'm',
        value: 1,
        timestamp: 1,
        step,
      }),
  });
  for (const writers of [1, 8]) {
    const ids = await Promise.all(Array.from({ length: writers }, newRun));
    await cell(`log-metric, ${writers} writer${writers === 1 ? '' : 's'}`, writers, (index) => {
      const metric = { key: 'loss', value: 1 / index, timestamp: index, step: index };
      return ['runs/log-metric', { run_id: ids[index % writers], ...metric }];
    });
  }
  const batchRun = await newRun();
  await cell('log-batch of 1,000 metrics', 1, (index) => {
    const metrics = Array.from({ length: BATCH_METRICS }, (_, i) => ({
      key: `m${i % 10}`,
      value: i / 7,
      timestamp: index,
      step: index * BATCH_METRICS + i,
    }));
    return ['runs/log-batch', { run_id: batchRun, metrics }];
  });
  await fillRuns(server, String(experimentId), runs);
  for (const [name, search] of Object.entries(SEARCHES)) {
    const body = { experiment_ids: [experimentId], max_results: 100, ...search };
    await cell(`search, ${name}`, 1, () => ['runs/search', body], SEARCHES_MAX);
  }
  return cells;
}

function number(name: string, text: string | undefined, fallback: number, max: number): number {
  const value = Number(text ?? fallback);
  if (Number.isInteger(value) && value > 0 && value <= max) return value;
  throw new Error(`--${name} takes a whole number up to ${max}, not '${text}'`);
}

await runScript(async () => {
  const values = readOptions({
    usage: USAGE,
    options: { seconds: { type: 'string' }, runs: { type: 'string' } },
  });
  const seconds = number('seconds', values.seconds, 5, SECONDS_MAX);
  const runs = number('runs', values.runs, 100_000, RUNS_MAX);
  await ensureEnvironment('clients-mlflow3', environmentsRoot(process.env), process.env);
  const infra = await startTestInfra({ isDurable: true });
  process.env[TEST_INFRA_VARIABLE] = JSON.stringify(infra.infra);
  try {
    const results: Map<string, Load>[] = [];
    for (const start of [startMillrace, startMlflow]) {
      const server = await start();
      try {
        print(`\n${server.name}: ${server.about}`);
        results.push(await measure(server, seconds, runs));
      } finally {
        await server.stop();
      }
    }
    const [ours, theirs] = results;
    print(`\n| ${runs} runs | Millrace | MLflow | rate |\n|---|---|---|---|`);
    for (const [name, mine] of ours ?? []) {
      const peer = theirs?.get(name);
      const show = (load: Load | undefined): string =>
        load === undefined ? '-' : `${load.perSecond.toFixed(0)}/s, p95 ${load.p95Ms.toFixed(1)} ms`;
      const ratio = peer === undefined ? '-' : `${(mine.perSecond / peer.perSecond).toFixed(1)}x`;
      print(`| ${name} | ${show(mine)} | ${show(peer)} | ${ratio} |`);
    }
    return 0;
  } finally {
    await infra.stop();
  }
});
