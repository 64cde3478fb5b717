import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from '@millrace/embedded';
import { ensureEnvironment, environmentsRoot, LaunchError, REPOSITORY_ROOT } from '@millrace/embedded';
import { followPipeline } from '../lib/follow-pipeline.ts';
import { bytes } from '../lib/format.ts';
import type { Job, Pipeline } from '../lib/public-api.ts';
import { createPublicApi } from '../lib/public-api.ts';
import type { Reporter } from '../lib/reporter.ts';

/** Workers that the demo needs: training and conversion are both in `cpu`. */
export const CROWDMIND_POOLS = 'cpu';

const MODEL = 'crowdmind';
const QUICK_EPOCHS = 15;
const QUICK_ROWS = 1_400;
const FULL_EPOCHS = 100;

/** What one microcontroller of the kind can bear; the job fails when the model is over it. */
const BUDGET = { modelBytes: 16_384, arenaBytes: 8_192 };

export type CrowdmindDemo = {
  connection: Connection;
  reporter: Reporter;
  /** Aborted when the user ends the run. */
  signal: AbortSignal;
  isQuick: boolean;
  /** Folder that runs and bundles are written to. */
  reports: string;
};

type Edge = {
  samples: number;
  accuracy: { float32: number; int8: number };
  agreementWithFloat: number;
  microAgreement: number;
  modelBytes: number;
  arenaBytes: number;
  operators: string[];
  latencyMicros: { p50: number; p95: number };
};
type Form = { agreement: number; accuracy: number; onnxAccuracy: number };

/** Trains a model for devices by both doors, compares, exports and verifies; returns the summary to print. */
export async function runCrowdmindDemo(demo: CrowdmindDemo): Promise<string> {
  const { connection, reporter, signal, isQuick } = demo;
  const call = createPublicApi(connection.gateway, connection.token, signal);
  const epochs = isQuick ? QUICK_EPOCHS : FULL_EPOCHS;
  const submitted = await call<Pipeline>('POST', '/v1/pipelines', {
    recipe: 'crowdmind',
    params: { epochs, budget: BUDGET },
    model: { name: MODEL },
    ...(isQuick ? { dataset: { params: { samples: QUICK_ROWS } } } : {}),
  });
  reporter.line(`First door: pipeline ${submitted.id}`);
  const pipeline = await followPipeline(call, submitted.id, reporter, signal);
  const { modelVersion, dataset, trainingJobId, conversionJobId } = pipeline;
  if (modelVersion === null || dataset === null || trainingJobId === null)
    throw new LaunchError('pipeline', 'ended without a model version');
  const training = await call<Job>('GET', `/v1/training/jobs/${trainingJobId}`);
  const conversion = await call<Job>('GET', `/v1/conversions/${conversionJobId}`);

  reporter.line(
    `\nSecond door: train_and_upload.py, apart from the platform, on dataset ${dataset.datasetId}`,
  );
  const inside = String(training.result?.meta.tfliteDigest);
  const outside = await runFactory(demo, dataset.datasetId, epochs);
  if (inside !== outside)
    throw new LaunchError('doors', `the platform made model.tflite ${inside}, the factory ${outside}`);

  const verified = await exportAndVerify(demo, modelVersion.version);
  return summary({
    version: modelVersion.version,
    edge: training.result?.meta.edge as Edge,
    form: (conversion.result?.meta.forms as Record<string, Form> | undefined)?.int8,
    digest: inside,
    verified,
  });
}

/** Runs the factory as its users do and gives the digest of the model that it uploaded. */
async function runFactory(demo: CrowdmindDemo, datasetId: string, epochs: number): Promise<string> {
  const { connection, reports } = demo;
  const runs = join(reports, 'crowdmind-runs');
  rmSync(runs, { recursive: true, force: true });
  mkdirSync(runs, { recursive: true });
  const config = join(runs, 'train.yaml');
  const lines = ['training:', `  epochs: ${epochs}`, 'budget:'];
  lines.push(`  model_bytes: ${BUDGET.modelBytes}`, `  arena_bytes: ${BUDGET.arenaBytes}`);
  writeFileSync(config, `${lines.join('\n')}\n`);
  const { python } = await ensureEnvironment('training', environmentsRoot(process.env), process.env);
  await run(demo, python, [
    join(REPOSITORY_ROOT, 'ml', 'crowdmind', 'scripts', 'train_and_upload.py'),
    ...['--dataset-id', datasetId, '--config', config, '--runs-dir', runs],
    ...['--api-base', connection.gateway, '--token', connection.token],
  ]);
  const [folder = ''] = readdirSync(runs).filter((name) => name.startsWith('run_'));
  const model = readFileSync(join(runs, folder, 'output', 'model.tflite'));
  return createHash('sha256').update(model).digest('hex');
}

/** Exports the version and verifies the bundle with the public key alone: no platform is asked. */
async function exportAndVerify(demo: CrowdmindDemo, version: string): Promise<string> {
  const { connection, reports } = demo;
  const bundle = join(reports, `${MODEL}-${version}.tar`);
  rmSync(bundle, { force: true });
  const key = join(reports, `${MODEL}-key.pem`);
  const call = createPublicApi(connection.gateway, connection.token, demo.signal);
  const path = `/v1/models/${MODEL}/versions/${encodeURIComponent(version)}/bundle-parts`;
  writeFileSync(key, (await call<{ publicKeyPem: string }>('GET', path)).publicKeyPem);
  const cli = ['--no-warnings', join(REPOSITORY_ROOT, 'libs', 'cli', 'src', 'main.ts')];
  demo.reporter.line('');
  await run(demo, process.execPath, [...cli, 'export', `${MODEL}@${version}`, '--out', bundle], {
    MILLRACE_URL: connection.gateway,
    MILLRACE_TOKEN: connection.token,
  });
  // An address where nobody answers: a check that asked the platform would fail.
  await run(demo, process.execPath, [...cli, 'verify', bundle, '--public-key', key], {
    MILLRACE_URL: 'http://127.0.0.1:9',
    MILLRACE_HOME: join(reports, 'nowhere'),
  });
  return bundle;
}

/** A command with its output passed on. Throws a LaunchError with its exit code unless that is 0. */
async function run(
  { signal }: CrowdmindDemo,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  const child = spawn(command, args, { stdio: 'inherit', signal, env: { ...process.env, ...env } });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const what = args.find((argument) => /\.(py|ts)$/.test(argument)) ?? command;
  if (code !== 0) throw new LaunchError(what, `ended with code ${code}`);
}

function summary(made: {
  version: string;
  edge: Edge;
  form: Form | undefined;
  digest: string;
  verified: string;
}): string {
  const { version, edge, form, digest, verified } = made;
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  return [
    'What was made',
    `  model          ${MODEL} version ${version}, verified, signed, loaded; model.tflite for devices in it`,
    `  both doors     the same model.tflite, sha256 ${digest.slice(0, 16)}…`,
    `  accuracy       ${percent(edge.accuracy.float32)} in float32, ${percent(edge.accuracy.int8)} in int8 (${edge.samples} test rows)`,
    `  agreement      int8 with float32 ${percent(edge.agreementWithFloat)}, ` +
      `with ONNX ${form === undefined ? 'not compared' : percent(form.agreement)}, ` +
      `LiteRT with TensorFlow Lite Micro ${percent(edge.microAgreement)}`,
    `  costs          ${bytes(edge.modelBytes)}, arena ${bytes(edge.arenaBytes)}, ` +
      `${edge.latencyMicros.p50.toFixed(1)} us an inference on this host; budget kept`,
    `  operators      ${[...new Set(edge.operators)].join(', ')}`,
    `  bundle         ${verified}, verified offline`,
  ].join('\n');
}
