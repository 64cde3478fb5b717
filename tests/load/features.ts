// node tests/load/features.ts: online reads of features at a constant rate, in the process and over HTTP. `--help` says what.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { startTestInfra, TEST_INFRA_VARIABLE } from '@millrace/testing';
import { build } from 'hdr-histogram-js';
import { readOptions, runScript } from '../../scripts/lib/command-line.ts';
import { startDatasets } from '../../services/datasets/test/support/start-datasets.ts';
import { nowUs } from './ticker.ts';

const USAGE = `node tests/load/features.ts [OPTIONS]

Fills a view of ten features, then reads one entity at a time at a constant rate, each request when it is due, whatever
became of the ones before. Latencies count from when a read was due. Every read of the first cell is of a thousand entities,
which memory holds; every read of the second of all of them, most of which Postgres must be asked for. The service and the
client share this machine; over HTTP the clients are processes of their own with one connection each, among which the rate is
divided, and the figures are those of the slowest of them. The last column is the processor time of the service for a read.
  --rate N        reads a second (default 5000)
  --seconds N     length of each cell (default 10)
  --entities N    entities of the view (default 100000)
  --cache-ms N    age of what memory holds (default 1000)`;

const WARM_UP_SECONDS = 2;
const HOT = 1_000;
const REQUESTS = 20_000;
const CONNECTIONS = 4;
const FILL_ROWS = 1_000;
const US_PER_SECOND = 1_000_000;
const FEATURES = Array.from({ length: 10 }, (_, i) => ({ name: `f${i}`, type: 'float' as const }));
const VIEW = 'bench';
const run = promisify(execFile);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

type Datasets = Awaited<ReturnType<typeof startDatasets>>;
type Figures = { p50Ms: number; p99Ms: number; p999Ms: number; maxMs: number };
type Loop = { due: Figures; statuses: Record<string, number>; unanswered: number };

async function fill({ features }: Datasets, entities: number): Promise<number> {
  const caller = { tenant: 'default', id: 'bench' };
  await features.featureViewService.create(caller, {
    name: VIEW,
    entity: { name: 'customer', keyType: 'int' },
    features: FEATURES,
    ttlSeconds: 86_400,
  });
  const eventTime = new Date().toISOString();
  const startedAt = performance.now();
  for (let from = 0; from < entities; from += FILL_ROWS) {
    const rows = Array.from({ length: Math.min(FILL_ROWS, entities - from) }, (_, i) => ({
      entity: from + i,
      eventTime,
      values: Object.fromEntries(FEATURES.map(({ name }) => [name, Math.random()])),
    }));
    await features.featureStore.write(caller.tenant, VIEW, rows);
  }
  return entities / ((performance.now() - startedAt) / 1_000);
}

/** Entities in the order they are read. */
const picks = (from: number): number[] =>
  Array.from({ length: REQUESTS }, () => Math.floor(Math.random() * from));

async function inProcess(
  { features: { featureStore: store } }: Datasets,
  keys: readonly number[],
  rate: number,
  seconds: number,
): Promise<Figures> {
  const intervalUs = US_PER_SECOND / rate;
  const total = Math.round((WARM_UP_SECONDS + seconds) * rate);
  const histogram = build({ lowestDiscernibleValue: 1, numberOfSignificantValueDigits: 3 });
  let startUs = 0;
  let due = 0;
  let answered = 0;
  const read = async (index: number): Promise<void> => {
    const key = keys[index % keys.length] ?? 0;
    if (store.peek('default', VIEW, key) === undefined) await store.get('default', VIEW, [key]);
    const atUs = startUs + index * intervalUs;
    if (atUs - startUs >= WARM_UP_SECONDS * US_PER_SECOND)
      histogram.recordValue(Math.max(1, Math.round(nowUs() - atUs)));
    answered += 1;
  };
  await new Promise<void>((resolve, reject) => {
    const ticker = new Worker(new URL('./ticker.ts', import.meta.url), { workerData: { intervalUs, total } });
    ticker.on('message', (message: { startUs: number } | null) => {
      if (message !== null) startUs = message.startUs;
      else
        void read(due++).then(() => {
          if (answered === total) resolve();
        }, reject);
    });
    ticker.once('error', reject);
  });
  const ms = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1_000;
  return { p50Ms: ms(50), p99Ms: ms(99), p999Ms: ms(99.9), maxMs: histogram.maxValue / 1_000 };
}

async function overHttp(
  origin: string,
  keys: readonly number[],
  rate: number,
  seconds: number,
): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-features-'));
  const { host } = new URL(origin);
  try {
    for (const [index, key] of keys.entries())
      writeFileSync(
        join(folder, `${index}.http`),
        `GET /v1/features/${VIEW}/${key} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
      );
    const script = fileURLToPath(new URL('./open-loop.ts', import.meta.url));
    const sizes = [rate / CONNECTIONS, seconds, WARM_UP_SECONDS].map(String);
    const loops = await Promise.all(
      Array.from({ length: CONNECTIONS }, async () => {
        const { stdout } = await run(process.execPath, [script, host, folder, ...sizes]);
        return JSON.parse(stdout) as Loop;
      }),
    );
    for (const { unanswered, statuses } of loops)
      if (unanswered > 0 || Object.keys(statuses).some((status) => status !== '200'))
        print(`  ${unanswered} unanswered, statuses ${JSON.stringify(statuses)}`);
    const worst = (name: keyof Figures): number => Math.max(...loops.map(({ due }) => due[name]));
    return { p50Ms: worst('p50Ms'), p99Ms: worst('p99Ms'), p999Ms: worst('p999Ms'), maxMs: worst('maxMs') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function number(name: string, text: string | undefined, fallback: number, max: number): number {
  const value = Number(text ?? fallback);
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new Error(`--${name} takes a whole number up to ${max}, not '${text}'`);
}

async function row(name: string, reads: number, measure: () => Promise<Figures>): Promise<void> {
  const before = process.cpuUsage();
  const { p50Ms, p99Ms, p999Ms, maxMs } = await measure();
  const { user, system } = process.cpuUsage(before);
  const cells = [p50Ms, p99Ms, p999Ms, maxMs].map((value) => value.toFixed(2));
  print(`| ${name} | ${cells.join(' | ')} | ${((user + system) / reads).toFixed(0)} |`);
}

await runScript(async () => {
  const text = { type: 'string' } as const;
  const values = readOptions({
    usage: USAGE,
    options: { rate: text, seconds: text, entities: text, 'cache-ms': text },
  });
  const rate = number('rate', values.rate, 5_000, 50_000);
  const seconds = number('seconds', values.seconds, 10, 120);
  const entities = number('entities', values.entities, 100_000, 5_000_000);
  const featureCacheMs = number('cache-ms', values['cache-ms'], 1_000, 60_000);
  const infra = await startTestInfra({ isDurable: true });
  process.env[TEST_INFRA_VARIABLE] = JSON.stringify(infra.infra);
  try {
    const service = await startDatasets({ featureCacheMs });
    try {
      const perSecond = await fill(service, entities);
      print(
        `${entities} rows written, ${perSecond.toFixed(0)} a second; ${rate} reads a second for ${seconds} s`,
      );
      print('\n| reads | p50 ms | p99 ms | p99.9 ms | max ms | µs a read |\n|---|---|---|---|---|---|');
      const cells = [
        [`of ${Math.min(HOT, entities)} entities`, picks(Math.min(HOT, entities))],
        [`of ${entities} entities`, picks(entities)],
      ] as const;
      for (const [name, keys] of cells) {
        const reads = rate * (WARM_UP_SECONDS + seconds);
        await row(`in the process, ${name}`, reads, () => inProcess(service, keys, rate, seconds));
        await row(`over HTTP, ${name}`, reads, () => overHttp(service.origin, keys, rate, seconds));
      }
      return 0;
    } finally {
      await service.stop();
    }
  } finally {
    await infra.stop();
  }
});
