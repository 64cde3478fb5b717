import type { Connection } from '@millrace/embedded';
import { LaunchError } from '@millrace/embedded';
import { followPipeline } from '../lib/follow-pipeline.ts';
import { duration } from '../lib/format.ts';
import type { Job, Pipeline, PublicApi } from '../lib/public-api.ts';
import { createPublicApi } from '../lib/public-api.ts';
import type { Reporter } from '../lib/reporter.ts';

/** Workers that the demo needs: TensorFlow trains and the conversion worker converts, both in `cpu`. */
export const VEID_POOLS = 'cpu';

type Params = Readonly<Record<string, number>>;
type Part = { recipe: string; what: string; quick: { params: Params; dataset: Params } };

/** The three models; the quick sizes show that everything works and reach no figure to quote. */
const PARTS: readonly Part[] = [
  {
    recipe: 'veid-liveness',
    what: 'living face or presentation attack',
    quick: { params: { epochs: 5 }, dataset: { samples: 900, heldoutSamples: 300 } },
  },
  {
    recipe: 'veid-face',
    what: 'same person or not',
    quick: { params: { epochs: 6 }, dataset: { identities: 120, heldoutIdentities: 40, views: 8 } },
  },
  {
    recipe: 'veid-ocr',
    what: 'text of a document line',
    quick: { params: { epochs: 5 }, dataset: { samples: 1_400, heldoutSamples: 200 } },
  },
];

/** What stands between the frames of two characters, then the characters, as the recipe's classes count them. */
const CLASSES = ['', ...'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<-./ '];
const SHOWN = 6;

type VeidDemo = {
  connection: Connection;
  reporter: Reporter;
  /** Aborted when the user ends the run. */
  signal: AbortSignal;
  isQuick: boolean;
};

type Context = VeidDemo & { call: PublicApi };
type Version = { version: string; modelDigest: string; packageDigest: string };
type Examples = { shape: number[]; examples: { label: number; group: string; source: string }[] };
type Meta = {
  accuracy: number;
  accuracyInterval95: [number, number];
  weightsDigest: string;
  determinism: { seed: number };
};
type Approval = { approved: boolean; stage: string };

/** Carries the three models through the platform and its approvals; returns the summary to print. Throws what went wrong. */
export async function runVeidDemo(demo: VeidDemo): Promise<string> {
  const context = {
    ...demo,
    call: createPublicApi(demo.connection.gateway, demo.connection.token, demo.signal),
  };
  const lines: string[] = [];
  for (const part of PARTS) lines.push(await carry(context, part));
  return ['What was made', ...lines].join('\n');
}

async function carry(context: Context, part: Part): Promise<string> {
  const { call, reporter, signal, isQuick } = context;
  const { recipe, what, quick } = part;
  const submitted = await call<Pipeline>('POST', '/v1/pipelines', {
    recipe,
    params: isQuick ? quick.params : {},
    model: { name: recipe },
    ...(isQuick ? { dataset: { params: quick.dataset } } : {}),
  });
  reporter.line(`\n${recipe} (${what}): pipeline ${submitted.id}`);
  const pipeline = await followPipeline(call, submitted.id, reporter, signal);
  if (pipeline.modelVersion === null || pipeline.trainingJobId === null)
    throw new LaunchError('pipeline', 'ended without a model version');
  const path = `/v1/models/${recipe}/versions/${encodeURIComponent(pipeline.modelVersion.version)}`;
  const model = await call<Version>('GET', path);
  await approve(context, recipe, path, model);
  await score(context, recipe, path, model.version);
  const { result } = await call<Job>('GET', `/v1/training/jobs/${pipeline.trainingJobId}`);
  if (result === null) throw new LaunchError('training', 'ended without a result');
  const { accuracy, accuracyInterval95, weightsDigest, determinism } = result.meta as Meta;
  const [low, high] = accuracyInterval95.map(percent);
  return [
    `  ${recipe} version ${model.version}: ${percent(accuracy)} held out (95 % interval ${low} to ${high})`,
    `    seed ${determinism.seed}, weights ${weightsDigest}`,
    `    prove it: npm run millrace -- verify-rebuild ${recipe}@${model.version}`,
  ].join('\n');
}

/** A validator asks for the digest; the answer is no, until somebody approves, and then it is yes. */
async function approve(
  { call, reporter }: Context,
  recipe: string,
  path: string,
  { modelDigest }: Version,
): Promise<void> {
  const ask = () => call<Approval>('GET', `/v1/approvals/${modelDigest}?stage=production&model=${recipe}`);
  await call('PUT', `/v1/models/${recipe}/policy`, {
    approvalsRequired: { production: 1 },
    registrantMayApprove: true,
  });
  const before = await ask();
  await call('POST', `${path}/approvals`, { stage: 'production', comment: 'demo: figures and digest read' });
  const after = await ask();
  if (!after.approved) throw new LaunchError('registry', `did not take the approval of ${modelDigest}`);
  await call('POST', `${path}/stage`, { stage: 'production' });
  reporter.line(
    `  digest ${modelDigest.slice(0, 16)}…: approved for production? ${before.approved ? 'yes' : 'no'}, then ${
      after.approved ? 'yes' : 'no'
    }; promoted`,
  );
}

/** Scores held-out pictures that the package carries. */
async function score(
  { call, reporter, signal }: Context,
  recipe: string,
  path: string,
  version: string,
): Promise<void> {
  const parts = await call<{ files: { path: string; url: string }[] }>('GET', `${path}/bundle-parts`);
  const download = async (name: string): Promise<Response> => {
    const url = parts.files.find((file) => file.path === name)?.url;
    if (url === undefined) throw new LaunchError('registry', `the package has no ${name}`);
    return fetch(url, { signal });
  };
  const { shape, examples } = (await (await download('examples.json')).json()) as Examples;
  const pixels = new Uint8Array(await (await download('examples.u8')).arrayBuffer());
  const size = shape.slice(1).reduce((product, side) => product * side, 1);
  for (const [i, example] of examples.slice(0, SHOWN).entries()) {
    const data = [...pixels.subarray(i * size, (i + 1) * size)];
    const start = performance.now();
    const { outputs } = await call<{ outputs: { shape: number[]; data: number[] }[] }>(
      'POST',
      `/v2/models/${recipe}/versions/${encodeURIComponent(version)}/infer`,
      { inputs: [{ name: 'input', datatype: 'FP32', shape: [1, ...shape.slice(1)], data }] },
    );
    const [output] = outputs;
    if (output === undefined || output.data.every((value) => value === 0))
      throw new LaunchError('inference', `${recipe} answered with zeros`);
    const isText = output.shape.length === 3;
    const said = isText ? readFrames(output.data) : (output.data[0] ?? 0).toFixed(3);
    const isRight = isText ? said === example.group : Number(said) > 0.5 === (example.label === 1);
    const truth = isText ? example.group : example.source;
    reporter.line(
      `    ${isRight ? '✓' : '✗'} ${truth.padEnd(16)} said ${said.padEnd(16)} ${duration(performance.now() - start)}`,
    );
  }
}

/** The text of the best path: the likeliest class of each frame, repetitions once, blanks never. */
function readFrames(data: readonly number[]): string {
  let text = '';
  let before = 0;
  for (let frame = 0; frame < data.length; frame += CLASSES.length) {
    const values = data.slice(frame, frame + CLASSES.length);
    const best = values.indexOf(Math.max(...values));
    if (best !== before) text += CLASSES[best];
    before = best;
  }
  return text;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
