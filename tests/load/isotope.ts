// node tests/load/isotope.ts: trainings of the isotope recipe through the platform beside the same as a bare script.
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import {
  ensureEnvironment,
  environmentsRoot,
  openHome,
  pythonPath,
  REPOSITORY_ROOT,
  startPlatform,
} from '@millrace/embedded';
import { table } from '../../scripts/lib/format.ts';
import type { Job, PublicApi } from '../../scripts/lib/public-api.ts';
import { createPublicApi } from '../../scripts/lib/public-api.ts';

const USAGE = `node tests/load/isotope.ts [--rounds N] [--epochs N] [--samples N]

Starts a platform of its own with a PyTorch worker, makes a dataset of spectra, and trains on it in turn through the
platform (submitted to succeeded) and as a bare script (started to ended). Prints seconds and the ratio of medians; both
must give the same weights.
  --rounds N   trainings of each kind (default 3)
  --epochs N   passes over the spectra (default 30)
  --samples N  train and validation spectra (default 9000)`;

/** After a job its worker loads the next child; a training is measured when that is over (ms). */
const NEXT_CHILD_MS = 25_000;
const POLL_MS = 50;
const HELDOUT_MIN = 60;
const BARE = 'services/training-worker/bench/isotope_accuracy.py';
const run = promisify(execFile);

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    epochs: { type: 'string', default: '30' },
    samples: { type: 'string', default: '9000' },
    help: { type: 'boolean', default: false },
  },
});
const samples = Number(options.samples);
const params = { epochs: Number(options.epochs), explain: false };
const generator = {
  recipe: 'isotope',
  params: { samples, heldoutSamples: Math.max(HELDOUT_MIN, Math.round(samples / 3)) },
};

type Version = { id: string; state: string; error: { message: string } | null };
type Run = { ms: number; weightsDigest: string };

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** A dataset version and its files in a folder, so that the bare script trains on the very same. */
async function makeDataset(call: PublicApi, folder: string): Promise<string> {
  const { id } = await call<{ id: string }>('POST', '/v1/datasets', { name: 'bench' });
  let version = await call<Version>('POST', `/v1/datasets/${id}/versions`, { generator });
  while (version.state === 'pending') {
    await sleep(POLL_MS);
    version = await call<Version>('GET', `/v1/datasets/${id}/versions/${version.id}`);
  }
  if (version.state !== 'ready') throw new Error(`the dataset ${version.state}: ${version.error?.message}`);
  const path = `/v1/datasets/${id}/versions/${version.id}/downloads`;
  const { files } = await call<{ files: { path: string; url: string }[] }>('GET', path);
  mkdirSync(folder, { recursive: true });
  for (const file of files)
    writeFileSync(join(folder, file.path), Buffer.from(await (await fetch(file.url)).arrayBuffer()));
  return version.id;
}

async function throughPlatform(call: PublicApi, versionId: string): Promise<Run> {
  const start = performance.now();
  const body = { recipe: 'isotope', params, dataset: { versionId } };
  const { id } = await call<Job>('POST', '/v1/training/jobs', body);
  for (;;) {
    const job = await call<Job & { result?: { meta: { weightsDigest: string } } }>(
      'GET',
      `/v1/training/jobs/${id}`,
    );
    const ms = performance.now() - start;
    if (job.state === 'succeeded') return { ms, weightsDigest: job.result?.meta.weightsDigest ?? '' };
    if (job.state !== 'queued' && job.state !== 'running') throw new Error(job.status);
    await sleep(POLL_MS);
  }
}

async function bare(dataset: string): Promise<Run> {
  const { python } = await ensureEnvironment('torch', environmentsRoot(process.env), process.env);
  const args = [join(REPOSITORY_ROOT, BARE), '--bare', dataset, '--params', JSON.stringify(params)];
  const env = { ...process.env, ...pythonPath('training-worker') };
  const start = performance.now();
  const { stdout } = await run(python, args, { env, maxBuffer: 64 * 1024 * 1024 });
  const ms = performance.now() - start;
  const { weightsDigest } = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '{}') as Run;
  return { ms, weightsDigest };
}

async function bench(call: PublicApi, root: string): Promise<void> {
  const dataset = join(root, 'bench-dataset');
  const versionId = await makeDataset(call, dataset);
  const ours: Run[] = [];
  const theirs: Run[] = [];
  for (let round = 0; round < Number(options.rounds); round += 1) {
    await sleep(NEXT_CHILD_MS);
    ours.push(await throughPlatform(call, versionId));
    theirs.push(await bare(dataset));
  }
  const digests = new Set([...ours, ...theirs].map(({ weightsDigest }) => weightsDigest));
  if (digests.size !== 1) throw new Error(`the weights differ: ${[...digests].join(', ')}`);
  const seconds = (runs: readonly Run[]) => runs.map(({ ms }) => (ms / 1_000).toFixed(1)).join(', ');
  const [a, b] = [ours, theirs].map((runs) => median(runs.map(({ ms }) => ms))) as [number, number];
  process.stdout.write(
    `isotope, ${params.epochs} epochs, ${samples} spectra (seconds); the same weights in all runs\n${table([
      ['', 'runs', 'median'],
      ['platform', seconds(ours), (a / 1_000).toFixed(1)],
      ['bare script', seconds(theirs), (b / 1_000).toFixed(1)],
      ['ratio', '', `${(a / b).toFixed(2)} (goal <= 1.1)`],
    ])}\n`,
  );
}

if (options.help) process.stdout.write(`${USAGE}\n`);
else {
  const root = mkdtempSync(join(tmpdir(), 'millrace-bench-isotope-'));
  chmodSync(root, 0o755);
  const platform = await startPlatform({
    home: openHome(root),
    environmentsFolder: environmentsRoot(process.env),
    env: {
      ...process.env,
      MILLRACE_GATEWAY_PORT: '0',
      MILLRACE_INFERENCE_PORT: '0',
      MILLRACE_GRPC_PORT: '0',
      MILLRACE_WORKER_POOLS: 'cpu,torch',
    },
  });
  try {
    const { gateway, token } = platform.connection;
    await bench(createPublicApi(gateway, token, new AbortController().signal), root);
  } finally {
    await platform.stop();
    rmSync(root, { recursive: true, force: true });
  }
}
