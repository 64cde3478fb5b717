import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from '@millrace/embedded';
import { LaunchError } from '@millrace/embedded';
import { followPipeline } from '../lib/follow-pipeline.ts';
import { bytes, duration } from '../lib/format.ts';
import type { Job, Pipeline, PublicApi } from '../lib/public-api.ts';
import { createPublicApi } from '../lib/public-api.ts';
import type { Reporter } from '../lib/reporter.ts';

/** Workers that the demo needs: PyTorch trains, the conversion worker is in `cpu`. */
export const ISOTOPE_POOLS = 'cpu,torch';

const MODEL = 'isotope';
const TOP = 3;
const QUICK = { epochs: 8, hidden: [128, 64] };
const QUICK_DATASET = { samples: 2_000, heldoutSamples: 400 };

export type IsotopeDemo = {
  connection: Connection;
  reporter: Reporter;
  /** Aborted when the user ends the run. */
  signal: AbortSignal;
  isQuick: boolean;
  /** Folder that the report is written to, under `reports/`. */
  reports: string;
};

type PackageFile = { path: string; sha256: string; sizeBytes: number; url: string };
type Example = { isotope: string; condition: string; spectrum: number[] };
type Meta = {
  accuracy: number;
  accuracyInterval95: [number, number];
  evaluation: {
    calibration: { expectedError: number };
    byCondition: Record<string, { accuracy: number; samples: number }>;
  };
};

/** Carries a net for gamma spectra through the platform; returns the summary to print. Throws what went wrong. */
export async function runIsotopeDemo(demo: IsotopeDemo): Promise<string> {
  const { connection, reporter, signal, isQuick } = demo;
  const call = createPublicApi(connection.gateway, connection.token, signal);
  const submitted = await call<Pipeline>('POST', '/v1/pipelines', {
    recipe: 'isotope',
    params: isQuick ? QUICK : {},
    model: { name: MODEL },
    ...(isQuick ? { dataset: { params: QUICK_DATASET } } : {}),
  });
  reporter.line(`Pipeline ${submitted.id}`);
  const pipeline = await followPipeline(call, submitted.id, reporter, signal);
  if (pipeline.modelVersion === null || pipeline.trainingJobId === null)
    throw new LaunchError('pipeline', 'ended without a model version');
  const { version } = pipeline.modelVersion;
  const training = await call<Job>('GET', `/v1/training/jobs/${pipeline.trainingJobId}`);
  const parts = await call<{ files: PackageFile[] }>(
    'GET',
    `/v1/models/${MODEL}/versions/${encodeURIComponent(version)}/bundle-parts`,
  );
  const download = async (path: string): Promise<Response> => {
    const file = parts.files.find((candidate) => candidate.path === path);
    if (file === undefined) throw new LaunchError('registry', `the package has no ${path}`);
    return fetch(file.url, { signal });
  };
  const { examples } = (await (await download('examples.json')).json()) as { examples: Example[] };
  reporter.line(`\n  Held-out spectra through POST ${connection.gateway}/predict, and the three likeliest`);
  let right = 0;
  for (const example of examples) right += (await ask(call, version, example, reporter)) ? 1 : 0;
  const folder = join(demo.reports, 'reports');
  mkdirSync(folder, { recursive: true });
  const report = join(folder, `${MODEL}-${version}.html`);
  writeFileSync(report, await (await download('report.html')).text());
  const onnx = parts.files.find(({ path }) => path === 'model.onnx');
  return summary({ meta: training.result?.meta as Meta, onnx, version, right, of: examples.length, report });
}

/** Asks for one spectrum both ways, prints the answers, and tells the platform whether it was right. */
async function ask(
  call: PublicApi,
  version: string,
  { isotope, condition, spectrum }: Example,
  reporter: Reporter,
): Promise<boolean> {
  const answer = await call<{ inferenceId: string; confidence: number; latencyMs: number }>(
    'POST',
    '/predict',
    { modelId: MODEL, version, features: { spectrum }, userId: 'demo' },
  );
  const ranked = await call<{ outputs: { data: string[] }[] }>(
    'POST',
    `/v2/models/${MODEL}/versions/${encodeURIComponent(version)}/infer`,
    {
      inputs: [{ name: 'spectrum', datatype: 'FP32', shape: [1, spectrum.length], data: spectrum }],
      outputs: [{ name: 'probabilities', parameters: { classification: TOP } }],
    },
  );
  // The classification extension gives texts "value:index:label".
  const top = (ranked.outputs[0]?.data ?? []).map((text) => {
    const [value = '', , label = ''] = text.split(':');
    return { label, share: Number(value) };
  });
  const isRight = top[0]?.label === isotope;
  const likeliest = top.map(({ label, share }) => `${label} ${share.toFixed(3)}`).join('  ');
  reporter.line(
    `    ${isRight ? '✓' : '✗'} ${isotope.padEnd(8)} ${condition.replace('_', ' and ').padEnd(17)} ` +
      `confidence ${answer.confidence.toFixed(3)}  ${likeliest}  ${duration(answer.latencyMs)}`,
  );
  await call('POST', '/feedback', {
    inferenceId: answer.inferenceId,
    outcome: { class: isotope },
    correct: isRight,
  });
  return isRight;
}

function summary(made: {
  meta: Meta;
  onnx: PackageFile | undefined;
  version: string;
  right: number;
  of: number;
  report: string;
}): string {
  const { meta, onnx, version, right, of, report } = made;
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  const [low, high] = meta.accuracyInterval95;
  const conditions = Object.entries(meta.evaluation.byCondition).map(
    ([name, { accuracy, samples }]) =>
      `    ${name.replace('_', ' and ').padEnd(20)} ${percent(accuracy)} of ${samples}`,
  );
  return [
    'What was made',
    `  model          ${MODEL} version ${version}, verified, signed, loaded`,
    `  accuracy       ${percent(meta.accuracy)} on the test split (95 % interval ${percent(low)} to ${percent(high)})`,
    ...conditions,
    `  calibration    expected error ${percent(meta.evaluation.calibration.expectedError)}`,
    `  ONNX           ${bytes(onnx?.sizeBytes ?? 0)}, sha256 ${onnx?.sha256.slice(0, 16)}…`,
    `  predictions    ${right} of ${of} right`,
    `  report         ${report}`,
  ].join('\n');
}
