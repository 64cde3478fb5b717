import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '@millrace/embedded';
import { LaunchError } from '@millrace/embedded';
import { followPipeline } from './lib/follow-pipeline.ts';
import { bytes, duration } from './lib/format.ts';
import type { Job, Pipeline, PublicApi } from './lib/public-api.ts';
import { createPublicApi } from './lib/public-api.ts';
import type { Reporter } from './lib/reporter.ts';

/** Where the platform is and the key to it. */
type Door = Pick<Connection, 'gateway' | 'token'>;

/** What the main job works with. */
export type MainJobContext = {
  connection: Door;
  reporter: Reporter;
  /** Aborted when the user ends the run. */
  signal: AbortSignal;
  epochs: number;
  samples: number;
  seed: number;
};

const MODEL = 'verichain';
const POLL_MS = 200;
/** Feedback and metrics travel over the bus; they are there within moments. */
const METRICS_TIMEOUT_MS = 30_000;

/** Carries one model through the platform; returns the summary to print. Throws what went wrong, in a sentence. */
export async function runMainJob(context: MainJobContext): Promise<string> {
  const { connection, reporter, signal, epochs, samples, seed } = context;
  const call = createPublicApi(connection.gateway, connection.token, signal);
  const submitted = await call<Pipeline>('POST', '/v1/pipelines', {
    recipe: 'verichain',
    params: { epochs, samples, seed },
    model: { name: MODEL },
  });
  reporter.line(`Main job: pipeline ${submitted.id} (${epochs} epochs, ${samples} samples, seed ${seed})`);
  const pipeline = await followPipeline(call, submitted.id, reporter, signal);
  if (pipeline.modelVersion === null || pipeline.trainingJobId === null) {
    throw new LaunchError('pipeline', 'ended without a model version');
  }
  const { version, isReused } = pipeline.modelVersion;
  if (isReused) {
    reporter.line(
      `  The training repeated bit for bit: version ${version} has its modelDigest and is reused.`,
    );
  }
  const training = await call<Job>('GET', `/v1/training/jobs/${pipeline.trainingJobId}`);
  const model = await call<ModelVersion>(
    'GET',
    `/v1/models/${MODEL}/versions/${encodeURIComponent(version)}`,
  );
  const predictions = await classifyHeldOut(call, connection, version, reporter, signal);
  const metrics = await waitForMetrics(call, predictions.length, Date.parse(submitted.createdAt), signal);
  return summary({ connection, pipeline, training, model, predictions, metrics });
}

type ModelVersion = {
  packageDigest: string;
  modelDigest: string;
  files: { path: string; sha256: string; sizeBytes: number }[];
};

type Metrics = { count: number; avgLatency: number | null; accuracy: number | null };

type Examples = { shape: number[]; examples: { label: number; group: string; source: string }[] };
type Prediction = {
  inferenceId: string;
  isRight: boolean;
  latencyMs: number;
  wallMs: number;
  source: string;
};

/** Classifies the held-out images that the package carries, and tells the platform whether it was right. */
async function classifyHeldOut(
  call: PublicApi,
  connection: Door,
  version: string,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<Prediction[]> {
  const parts = await call<{ files: { path: string; url: string }[] }>(
    'GET',
    `/v1/models/${MODEL}/versions/${encodeURIComponent(version)}/bundle-parts`,
  );
  const download = async (path: string): Promise<Response> => {
    const url = parts.files.find((file) => file.path === path)?.url;
    if (url === undefined) throw new LaunchError('registry', `the package has no ${path}`);
    return fetch(url, { signal });
  };
  const { shape, examples } = (await (await download('examples.json')).json()) as Examples;
  const pixels = new Uint8Array(await (await download('examples.u8')).arrayBuffer());
  const imageBytes = shape.slice(1).reduce((product, size) => product * size, 1);
  reporter.line(`\n  Held-out pictures through POST ${connection.gateway}/predict`);
  const predictions: Prediction[] = [];
  for (const [i, example] of examples.entries()) {
    const input = [...pixels.subarray(i * imageBytes, (i + 1) * imageBytes)];
    const start = performance.now();
    const answer = await call<{ inferenceId: string; confidence: number; latencyMs: number }>(
      'POST',
      '/predict',
      {
        modelId: MODEL,
        version,
        features: { input },
        userId: 'quickstart',
      },
    );
    const wallMs = performance.now() - start;
    const said = answer.confidence > 0.5 ? 1 : 0;
    const isRight = said === example.label;
    const name = (label: number) => (label === 1 ? 'ai' : 'real');
    reporter.line(
      `    ${isRight ? '✓' : '✗'} ${example.source.padEnd(10)} ${example.group.padEnd(14)} is ${name(example.label).padEnd(4)} ` +
        `said ${name(said).padEnd(4)} p(ai) ${answer.confidence.toFixed(3)}  ${duration(answer.latencyMs)}`,
    );
    await call('POST', '/feedback', {
      inferenceId: answer.inferenceId,
      outcome: { class: example.label },
      correct: isRight,
    });
    predictions.push({ ...answer, isRight, wallMs, source: example.source });
  }
  return predictions;
}

/** Waits until monitoring has stored the predictions and joined their feedback. */
async function waitForMetrics(
  call: PublicApi,
  atLeast: number,
  startTime: number,
  signal: AbortSignal,
): Promise<Metrics> {
  const deadline = performance.now() + METRICS_TIMEOUT_MS;
  for (;;) {
    const metrics = await call<Metrics>('GET', `/monitoring/metrics?modelId=${MODEL}&startTime=${startTime}`);
    if (metrics.count >= atLeast && metrics.accuracy !== null) return metrics;
    if (performance.now() > deadline) {
      throw new LaunchError(
        'monitoring',
        `has ${metrics.count} of ${atLeast} predictions after ${duration(METRICS_TIMEOUT_MS)}`,
      );
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** Time between the end of the training child and the loaded model, less the conversion itself (ms). */
function gapsMs(pipeline: Pipeline, training: Job): number | null {
  const { load, train } = pipeline.times;
  if (load === undefined || train === undefined || training.finishedAt === null) return null;
  return Date.parse(load) - Date.parse(train);
}

function summary(made: {
  connection: Door;
  pipeline: Pipeline;
  training: Job;
  model: ModelVersion;
  predictions: Prediction[];
  metrics: Metrics;
}): string {
  const { connection, pipeline, training, model, predictions, metrics } = made;
  const meta = training.result?.meta as
    | { accuracy?: number; accuracyInterval95?: [number, number] }
    | undefined;
  const percent = (share: number | undefined) => `${((share ?? 0) * 100).toFixed(1)} %`;
  const [low, high] = meta?.accuracyInterval95 ?? [0, 0];
  const onnx = model.files.find((file) => file.path === 'model.onnx');
  const right = predictions.filter((prediction) => prediction.isRight).length;
  const latencies = predictions.map((prediction) => prediction.latencyMs).sort((a, b) => a - b);
  const median = latencies[Math.floor(latencies.length / 2)] ?? 0;
  const afterTraining = gapsMs(pipeline, training);
  return [
    'What was made',
    `  model          ${MODEL} version ${pipeline.modelVersion?.version}, verified, signed, loaded`,
    `  accuracy       ${percent(meta?.accuracy)} on held-out pictures (95 % interval ${percent(low)} to ${percent(high)})`,
    `  ONNX           ${bytes(onnx?.sizeBytes ?? 0)}, sha256 ${onnx?.sha256.slice(0, 16)}…`,
    `  modelDigest    ${model.modelDigest}`,
    `  packageDigest  ${model.packageDigest}`,
    `  dataset        ${pipeline.dataset?.digest}`,
    `  predictions    ${right} of ${predictions.length} right, median ${duration(median)} in the server`,
    `  monitoring     ${metrics.count} stored, accuracy by feedback ${percent(metrics.accuracy ?? 0)}`,
    ...(afterTraining === null ? [] : [`  trained → served ${duration(afterTraining)}, conversion included`]),
    '',
    `  Web page       ${connection.gateway}/`,
    `  API            ${connection.gateway}/docs`,
    '',
    'Next',
    '  npm run millrace -- models',
    `  npm run millrace -- verify ${MODEL}`,
    `  curl '${connection.gateway}/monitoring/metrics?modelId=${MODEL}'`,
  ].join('\n');
}
