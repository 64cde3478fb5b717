// npm run bench: the platform's figures, measured on this machine in one run. `--help` says what it measures.
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import type { Platform } from '@millrace/embedded';
import {
  ensureEnvironment,
  environmentsRoot,
  folderSize,
  nodeBinary,
  openHome,
  pythonPath,
  REPOSITORY_ROOT,
  startPlatform,
  treeMemory,
} from '@millrace/embedded';
import { bytes, duration, table } from '../../scripts/lib/format.ts';
import type { Job, Pipeline, PublicApi } from '../../scripts/lib/public-api.ts';
import { createPublicApi } from '../../scripts/lib/public-api.ts';
import { writeRequests } from './serving/payloads.ts';

const USAGE = `npm run bench [-- --rounds N] [--quick] [--seconds N]

Starts a platform of its own and measures, side by side in one run:
  start      time until each part is ready, memory of each part when idle, disk and download size
  training   submit-to-succeeded of a training job against the same recipe as a bare Python script (ratio of medians)
  gap        from the end of a training to the loaded version
  predict    POST /predict on the VeriChain model with 8 connections: JSON and binary, through the gateway and direct
Options:
  --rounds N   trainings of each kind (default 3)
  --quick      5 epochs and 500 samples instead of 10 and 1,000
  --no-training  leave the training runs out
  --seconds N  length of each load (default 10)`;

const IMAGE_VALUES = 224 * 224 * 3;
const CONNECTIONS = 8;
const WARM_UP_SECONDS = '12';
const SETTLE_MS = 8_000;
/** After a job its worker loads the next child; loads and trainings are measured when that is over. */
const NEXT_CHILD_MS = 25_000;
const POLL_MS = 50;
const run = promisify(execFile);

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    quick: { type: 'boolean', default: false },
    'no-training': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const size = options.quick ? { epochs: 5, samples: 500 } : { epochs: 10, samples: 1_000 };

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const print = (text: string): void => void process.stdout.write(`${text}\n`);

async function bench(platform: Platform, root: string, readyMs: ReadonlyMap<string, number>): Promise<void> {
  const call = createPublicApi(
    platform.connection.gateway,
    platform.connection.token,
    new AbortController().signal,
  );
  await sleep(SETTLE_MS);
  print(memoryTable(platform, readyMs));
  print(await diskTable());
  const pipeline = await runPipeline(call);
  print(await gap(call, pipeline));
  if (!options['no-training']) print(await training(call, pipeline, root));
  print(await predict(platform, root));
}

function memoryTable(platform: Platform, readyMs: ReadonlyMap<string, number>): string {
  const rows = platform.state().parts.map((part) => {
    const memory = part.pid === null ? 0 : treeMemory(part.pid).ownBytes;
    return { name: part.name, ready: readyMs.get(part.name) ?? 0, memory };
  });
  const total = rows.reduce((sum, row) => sum + row.memory, 0);
  return `\nstart and idle memory (own, by proportional share)\n${table([
    ['part', 'ready after', 'memory'],
    ...rows.map((row) => [row.name, duration(row.ready), bytes(row.memory)]),
    ['all', '', bytes(total)],
  ])}`;
}

async function diskTable(): Promise<string> {
  const root = environmentsRoot(process.env);
  const environments = ['tools', 'training', 'conversion'].map((name) => [
    name,
    bytes(folderSize(join(root, name))),
  ]);
  return `\ndisk\n${table([
    ['folder', 'size'],
    ['node_modules', bytes(folderSize(join(REPOSITORY_ROOT, 'node_modules')))],
    ...environments,
  ])}`;
}

async function runPipeline(call: PublicApi): Promise<Pipeline> {
  const submitted = await call<Pipeline>('POST', '/v1/pipelines', {
    recipe: 'verichain',
    params: size,
    model: { name: 'bench' },
  });
  for (;;) {
    const pipeline = await call<Pipeline>('GET', `/v1/pipelines/${submitted.id}`);
    if (pipeline.state === 'succeeded') return pipeline;
    if (pipeline.state !== 'running')
      throw new Error(`the pipeline ${pipeline.state}: ${pipeline.error?.message}`);
    await sleep(POLL_MS * 4);
  }
}

/** Time between the end of the training child and the loaded version; the conversion's own work is part of it. */
async function gap(call: PublicApi, pipeline: Pipeline): Promise<string> {
  const training = await call<Job>('GET', `/v1/training/jobs/${pipeline.trainingJobId}`);
  const whole = Date.parse(pipeline.times.load ?? '') - Date.parse(training.finishedAt ?? '');
  return `\nfrom trained to servable, conversion included: ${duration(whole)} (goal: gaps < 2 s)`;
}

async function trainOnce(call: PublicApi, pipeline: Pipeline): Promise<number> {
  const start = performance.now();
  const submitted = await call<Job>('POST', '/v1/training/jobs', {
    recipe: 'verichain',
    params: size,
    dataset: { versionId: pipeline.dataset?.versionId },
  });
  for (;;) {
    const job = await call<Job>('GET', `/v1/training/jobs/${submitted.id}`);
    if (job.state === 'succeeded') return performance.now() - start;
    if (job.state !== 'queued' && job.state !== 'running') throw new Error(job.status);
    await sleep(POLL_MS);
  }
}

async function bareOnce(folder: string, dataset: string): Promise<number> {
  const environment = await ensureEnvironment('training', environmentsRoot(process.env), process.env);
  const start = performance.now();
  const sizes = ['--epochs', String(size.epochs), '--samples', String(size.samples)];
  await run(
    environment.python,
    ['-m', 'millrace_training.cli', 'train', '--dataset', dataset, '--out', folder, ...sizes],
    {
      env: { ...process.env, ...pythonPath('training-worker') },
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  return performance.now() - start;
}

/** The dataset of the pipeline as files, so that the bare script trains on the very same. */
async function downloadDataset(call: PublicApi, pipeline: Pipeline, folder: string): Promise<string> {
  const { datasetId, versionId } = pipeline.dataset ?? {};
  const { files } = await call<{ files: { path: string; url: string }[] }>(
    'GET',
    `/v1/datasets/${datasetId}/versions/${versionId}/downloads`,
  );
  mkdirSync(folder, { recursive: true });
  for (const file of files) {
    writeFileSync(join(folder, file.path), Buffer.from(await (await fetch(file.url)).arrayBuffer()));
  }
  return folder;
}

async function training(call: PublicApi, pipeline: Pipeline, root: string): Promise<string> {
  const dataset = await downloadDataset(call, pipeline, join(root, 'bench-dataset'));
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < Number(options.rounds); round += 1) {
    await sleep(NEXT_CHILD_MS);
    ours.push(await trainOnce(call, pipeline));
    bare.push(await bareOnce(join(root, 'bench-bare'), dataset));
  }
  const list = (values: readonly number[]) => values.map((value) => (value / 1_000).toFixed(1)).join(', ');
  return `\ntraining, ${size.epochs} epochs, ${size.samples} samples (seconds)\n${table([
    ['', 'runs', 'median'],
    ['platform', list(ours), (median(ours) / 1_000).toFixed(1)],
    ['bare script', list(bare), (median(bare) / 1_000).toFixed(1)],
    ['ratio', '', `${(median(ours) / median(bare)).toFixed(2)} (goal <= 1.1)`],
  ])}`;
}

type Request = { headers: Record<string, string>; body: Buffer };
type Load = { requestsPerSecond: number; p50Ms: number; p99Ms: number; statuses: Record<string, number> };

async function load(origin: string, path: string, folder: string, request: Request): Promise<Load> {
  const client = join(REPOSITORY_ROOT, 'tests', 'load', 'load-client.ts');
  const { host } = new URL(origin);
  writeRequests(folder, { host, path, headers: {} }, [request]);
  const send = async (seconds: string): Promise<Load> => {
    const args = [client, host, folder, String(CONNECTIONS), seconds];
    return JSON.parse((await run(nodeBinary(), args)).stdout) as Load;
  };
  await send(WARM_UP_SECONDS);
  return send(options.seconds);
}

async function predict(platform: Platform, root: string): Promise<string> {
  const pixels = Float32Array.from({ length: IMAGE_VALUES }, (_, i) => (i * 31) % 256);
  // seven decimals, as a client prints float32: about 1.6 MB
  const values = Array.from(pixels, (value) => Number((value / 3 + 0.1234567).toFixed(7)));
  const json: Request = {
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify({ modelId: 'bench', features: { input: values } })),
  };
  const header = JSON.stringify({
    inputs: [
      {
        name: 'input',
        datatype: 'FP32',
        shape: [1, 224, 224, 3],
        parameters: { binary_data_size: pixels.byteLength },
      },
    ],
  });
  const binary: Request = {
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(Buffer.byteLength(header)),
    },
    body: Buffer.concat([Buffer.from(header), Buffer.from(pixels.buffer)]),
  };
  const { gateway, inference } = platform.connection;
  const cells: [string, string, string, Request][] = [
    ['JSON, gateway', gateway, '/predict', json],
    ['JSON, direct', inference, '/predict', json],
    ['binary, gateway', gateway, '/v2/models/bench/infer', binary],
    ['binary, direct', inference, '/v2/models/bench/infer', binary],
  ];
  await sleep(NEXT_CHILD_MS);
  const rows = [];
  for (const [name, origin, path, request] of cells) {
    const result = await load(origin, path, join(root, 'requests'), request);
    rows.push([
      name,
      result.requestsPerSecond.toFixed(0),
      result.p50Ms.toFixed(1),
      result.p99Ms.toFixed(1),
      JSON.stringify(result.statuses),
    ]);
  }
  const part = platform.state().parts.find((candidate) => candidate.name === 'inference');
  const memory = part?.pid === null || part?.pid === undefined ? 0 : treeMemory(part.pid).ownBytes;
  return `\nPOST of one picture, ${CONNECTIONS} connections, ${options.seconds} s each after ${WARM_UP_SECONDS} s warm-up, JSON ${bytes(json.body.length)}, binary ${bytes(binary.body.length)} (goal > 100/s, p99 < 100 ms)\n${table(
    [['', 'requests/s', 'p50 ms', 'p99 ms', 'statuses'], ...rows],
  )}\ninference in all: ${bytes(memory)} (goal < 500 MB)`;
}

async function main(): Promise<void> {
  if (options.help) return print(USAGE);
  const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  chmodSync(root, 0o755);
  const readyMs = new Map<string, number>();
  const platform = await startPlatform({
    home: openHome(root),
    environmentsFolder: environmentsRoot(process.env),
    env: {
      ...process.env,
      MILLRACE_GATEWAY_PORT: '0',
      MILLRACE_INFERENCE_PORT: '0',
      MILLRACE_GRPC_PORT: '0',
    },
    onReady: (part, elapsedMs) => readyMs.set(part, elapsedMs),
    onMessage: print,
  });
  process.once('SIGINT', () => void platform.stop());
  try {
    await bench(platform, root, readyMs);
  } finally {
    await platform.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

await main();
