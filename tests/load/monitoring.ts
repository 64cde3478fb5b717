// npm run bench:monitoring: how fast monitoring takes predictions in, answers, and what an outage costs. `--help` says what.
import { startTestInfra, TEST_INFRA_VARIABLE } from '@millrace/testing';
import { readOptions, runScript } from '../../scripts/lib/command-line.ts';
import { fillEvents } from './monitoring/fill.ts';
import type { MonitoringBench } from './monitoring/platform.ts';
import { startMonitoringBench } from './monitoring/platform.ts';
import { createSender } from './monitoring/traffic.ts';

const USAGE = `npm run bench:monitoring [-- OPTIONS]

Starts Postgres with its flush to disk on, NATS and monitoring as a process of its own, on this machine's cores.
1. ingestion: predictions through the bus until Postgres has them all
2. outage: the same at a constant rate while monitoring is killed and started again; counts what is lost
3. queries: metrics of random ranges and pages of events over a table filled with generated predictions
  --predictions N   predictions of the first part (default 200000)
  --rate N          predictions a second of the second (default 2000)
  --seconds N       length of the second (default 20)
  --events N        predictions of the third (default 1000000; 50000000 takes half an hour and 40 GB)
  --queries N       questions of each kind (default 200)`;

const BATCH = 500;
const VERSIONS = 4;
const MODELS = 5;
const DAYS = 29;
/** Part of the second load after which monitoring is killed, and for how long it is away (ms). */
const KILL_AFTER = 0.3;
const AWAY_MS = 3_000;
const TICK_MS = 100;
const POLL_MS = 100;
const DRAIN_MS_MAX = 600_000;
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Ingest = { items: { stored: number; dropped: number; missingBatches: number }[] };

async function ask<T>(bench: MonitoringBench, path: string): Promise<T> {
  const response = await fetch(`${bench.service().origin}${path}`);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** Waits until as many predictions are stored; throws when that takes too long. */
async function untilStored(bench: MonitoringBench, wanted: number): Promise<void> {
  const end = performance.now() + DRAIN_MS_MAX;
  for (;;) {
    const { items } = await ask<Ingest>(bench, '/v1/monitoring/ingest');
    const stored = items.reduce((sum, one) => sum + one.stored, 0);
    if (stored >= wanted) return;
    if (performance.now() > end) throw new Error(`${stored} of ${wanted} predictions are stored`);
    await pause(POLL_MS);
  }
}

async function countOf(bench: MonitoringBench): Promise<number> {
  return (await ask<{ count: number }>(bench, '/monitoring/metrics?modelId=bench')).count;
}

async function measureIngestion(bench: MonitoringBench, predictions: number): Promise<void> {
  const batches = Math.ceil(predictions / BATCH);
  const sender = createSender(bench.bus, VERSIONS);
  const startedAt = performance.now();
  await sender.send(batches, BATCH);
  const published = performance.now() - startedAt;
  await untilStored(bench, batches * BATCH);
  const seconds = (performance.now() - startedAt) / 1000;
  print(
    `ingestion: ${batches * BATCH} predictions in ${seconds.toFixed(1)} s, ${((batches * BATCH) / seconds).toFixed(0)}/s into Postgres (the stream had them after ${(published / 1000).toFixed(1)} s)`,
  );
}

async function measureOutage(bench: MonitoringBench, rate: number, seconds: number): Promise<boolean> {
  const before = await countOf(bench);
  const sender = createSender(bench.bus, VERSIONS);
  const perTick = Math.max(1, Math.round((rate * TICK_MS) / 1000));
  const startedAt = performance.now();
  const outage = (async () => {
    await pause(seconds * 1000 * KILL_AFTER);
    await bench.service().killHard();
    await pause(AWAY_MS);
    await bench.start();
    return performance.now() - startedAt;
  })();
  for (let tick = 1; performance.now() - startedAt < seconds * 1000; tick += 1) {
    await sender.send(1, perTick);
    await pause(Math.max(0, startedAt + tick * TICK_MS - performance.now()));
  }
  const backAt = await outage;
  await untilStored(bench, before + sender.sent());
  const caughtUpAt = performance.now() - startedAt;
  const { items } = await ask<Ingest>(bench, '/v1/monitoring/ingest');
  const missing = items.reduce((sum, one) => sum + one.missingBatches, 0);
  const counted = (await countOf(bench)) - before;
  print(
    `outage: ${sender.sent()} sent at ${rate}/s, monitoring killed for ${(backAt / 1000 - seconds * KILL_AFTER).toFixed(1)} s; ${counted} counted, ${sender.sent() - counted} lost, ${missing} batches missing; caught up ${Math.max(0, caughtUpAt / 1000 - seconds).toFixed(1)} s after the load`,
  );
  return counted === sender.sent() && missing === 0;
}

async function measureQueries(bench: MonitoringBench, events: number, queries: number): Promise<void> {
  const startedAt = performance.now();
  const range = await fillEvents(bench.databaseUrl, { events, models: MODELS, days: DAYS }, (done) => {
    if (done % 5_000_000 === 0) print(`  ${done} events made`);
  });
  print(
    `queries over ${events} events of ${MODELS} models in ${DAYS} days, made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`,
  );
  const span = (): string => {
    const [one, other] = [Math.random(), Math.random()].map((share) =>
      Math.floor(range.from + share * (range.to - range.from)),
    ) as [number, number];
    return `startTime=${Math.min(one, other)}&endTime=${Math.max(one, other)}`;
  };
  const model = (): string => `modelId=model-${Math.floor(Math.random() * MODELS)}`;
  const kinds: Record<string, () => string> = {
    'metrics of a range': () => `/monitoring/metrics?${model()}&${span()}`,
    'metrics of all time': () => `/monitoring/metrics?${model()}`,
    'by version, quantiles': () => `/v1/monitoring/metrics?${model()}&${span()}&groupBy=version`,
    'by hour of two weeks': () =>
      `/v1/monitoring/metrics?${model()}&startTime=${range.to - 14 * 86_400_000}&step=hour`,
    'page of events': () => `/v1/monitoring/events?${model()}&${span()}&limit=100`,
    'page of a user': () =>
      `/v1/monitoring/events?userId=user-${Math.floor(Math.random() * 10_007)}&limit=100`,
  };
  print('| question | p50 | p95 | p99 |\n|---|---|---|---|');
  for (const [name, path] of Object.entries(kinds)) {
    const times: number[] = [];
    for (let index = 0; index < queries; index += 1) {
      const from = performance.now();
      await ask(bench, path());
      times.push(performance.now() - from);
    }
    times.sort((a, b) => a - b);
    const at = (share: number): string =>
      `${(times[Math.floor(share * (times.length - 1))] as number).toFixed(1)} ms`;
    print(`| ${name} | ${at(0.5)} | ${at(0.95)} | ${at(0.99)} |`);
  }
}

function number(name: string, text: string | undefined, fallback: number, max: number): number {
  const value = Number(text ?? fallback);
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new Error(`--${name} takes a whole number up to ${max}, not '${text}'`);
}

await runScript(async () => {
  const text = { type: 'string' } as const;
  const values = readOptions({
    usage: USAGE,
    options: { predictions: text, rate: text, seconds: text, events: text, queries: text },
  });
  const predictions = number('predictions', values.predictions, 200_000, 10_000_000);
  const rate = number('rate', values.rate, 2_000, 100_000);
  const seconds = number('seconds', values.seconds, 20, 600);
  const events = number('events', values.events, 1_000_000, 200_000_000);
  const queries = number('queries', values.queries, 200, 100_000);
  const infra = await startTestInfra({ isDurable: true });
  process.env[TEST_INFRA_VARIABLE] = JSON.stringify(infra.infra);
  try {
    const bench = await startMonitoringBench();
    try {
      if (predictions > 0) await measureIngestion(bench, predictions);
      const isWhole = seconds === 0 || (await measureOutage(bench, rate, seconds));
      if (events > 0) await measureQueries(bench, events, queries);
      return isWhole ? 0 : 1;
    } finally {
      await bench.stop();
    }
  } finally {
    await infra.stop();
  }
});
