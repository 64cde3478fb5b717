import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@millrace/contracts';
import type { Pipeline } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { integerOption, show, textOption, UsageError } from '../command.ts';
import { MODES, quantizeOptions } from '../conversions/conversion-request.ts';
import { exitCodes } from '../exit-codes.ts';
import { duration, fields } from '../format.ts';
import { progressText } from '../job-progress.ts';
import { POOLS, poolOption } from '../pool-option.ts';

const POLL_MS = 400;
const QUICK = { epochs: 5, samples: 500 };
const FULL = { epochs: 10, samples: 1_000 };

export const trainCommand: Command = {
  name: 'train',
  summary: 'make data, train, convert, register and load a model, with live progress',
  help: `millrace train [--quick | --full] [--epochs N] [--samples N] [--seed N] [--param NAME=VALUE]...
               [--recipe NAME] [--model NAME] [--version LABEL] [--pool ${POOLS}] [--detach]
               [--dataset VERSION] [--quantize MODE [--target COLUMN] [--agreement-min SHARE]]

Submits a pipeline and shows it until the model version is loaded. Without options: recipe and model verichain, --quick.
  --quick   5 epochs, 500 samples      --full   10 epochs, 1000 samples
  --param   any other parameter of the recipe; VALUE is JSON or text
  --detach  print the id of the pipeline and leave
  --dataset   id of a dataset version that is there, instead of data that the recipe makes
  --quantize  ${MODES.join(', ')}: serve the smaller model; samples come from the training's own dataset
  --target    column with the truth, for the accuracy of both models
  --agreement-min  share of samples on which both must agree, else the pipeline fails`,
  options: {
    quick: { type: 'boolean' },
    full: { type: 'boolean' },
    epochs: { type: 'string' },
    samples: { type: 'string' },
    seed: { type: 'string' },
    param: { type: 'string', multiple: true },
    recipe: { type: 'string' },
    model: { type: 'string' },
    version: { type: 'string' },
    pool: { type: 'string' },
    dataset: { type: 'string' },
    quantize: { type: 'string' },
    target: { type: 'string' },
    'agreement-min': { type: 'string' },
    detach: { type: 'boolean', short: 'd' },
  },
  async run(context) {
    const recipe = textOption(context, 'recipe') ?? 'verichain';
    const version = textOption(context, 'version');
    const pool = poolOption(context);
    const quantization = quantizeOptions(context);
    const versionId = textOption(context, 'dataset');
    const pipeline = await context.client.pipelines.create({
      recipe,
      params: readParams(context),
      ...(versionId === undefined ? {} : { dataset: { versionId } }),
      ...(quantization === undefined ? {} : { conversion: { quantization } }),
      ...(pool === undefined ? {} : { pool }),
      model: { name: textOption(context, 'model') ?? recipe, ...(version === undefined ? {} : { version }) },
    });
    if (context.options.detach === true) {
      show(context, pipeline, () => `Pipeline ${pipeline.id} was submitted.`);
      return exitCodes.ok;
    }
    const done = await follow(context, pipeline);
    return report(context, done);
  },
};

function readParams(context: Context): Record<string, unknown> {
  const { quick, full, param } = context.options;
  if (quick === true && full === true) throw new UsageError('--quick and --full exclude each other.');
  const isVerichain = (textOption(context, 'recipe') ?? 'verichain') === 'verichain';
  const params: Record<string, unknown> =
    full === true ? { ...FULL } : quick === true || isVerichain ? { ...QUICK } : {};
  for (const name of ['epochs', 'samples', 'seed']) {
    const value = integerOption(context, name, name === 'seed' ? 0 : 1);
    if (value !== undefined) params[name] = value;
  }
  for (const pair of (param as string[] | undefined) ?? []) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--param takes NAME=VALUE, not '${pair}'.`);
    params[pair.slice(0, at)] = parseValue(pair.slice(at + 1));
  }
  return params;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function follow(context: Context, submitted: Pipeline): Promise<Pipeline> {
  const startedMs = performance.now();
  let last = '';
  for (let pipeline = submitted; ; ) {
    const { step, line } =
      pipeline.state === 'running'
        ? await describe(context, pipeline)
        : { step: 'end', line: pipeline.state };
    const text = `${duration(performance.now() - startedMs).padStart(9)}  ${line}`;
    if (context.isTerminal && !context.isJson) context.redraw(text);
    // A file or pipe gets one line for each stage and epoch instead of a line that moves.
    else if (!context.isJson && step !== last) context.print(text);
    last = step;
    if (pipeline.state !== 'running') return pipeline;
    await sleep(POLL_MS, undefined, { signal: context.signal }).catch(() => {
      throw new AppError(
        'dependency_unavailable',
        `Left; the pipeline goes on: millrace jobs (pipeline ${pipeline.id}).`,
      );
    });
    pipeline = await context.client.pipelines.get(pipeline.id);
  }
}

/** What a pipeline does now, and the name of the step it is in. */
async function describe({ client }: Context, pipeline: Pipeline): Promise<{ step: string; line: string }> {
  const { stage, trainingJobId, conversionJobId } = pipeline;
  const id = stage === 'train' ? trainingJobId : stage === 'convert' ? conversionJobId : null;
  if (id === null) return { step: stage, line: stage };
  const { state, status, progress } = await (stage === 'train' ? client.training : client.conversions).get(
    id,
  );
  if (progress === null || state !== 'running')
    return { step: `${stage} ${state}`, line: `${stage}  ${status}` };
  return {
    step: `${stage} ${progress.stage} ${progress.epoch ?? ''}`,
    line: `${stage}  ${progressText(progress)}`,
  };
}

function report(context: Context, pipeline: Pipeline): number {
  if (context.isTerminal && !context.isJson) context.print('');
  const { modelVersion, error } = pipeline;
  show(context, pipeline, () =>
    fields([
      ['pipeline', pipeline.id],
      ['state', pipeline.state],
      [
        'model',
        modelVersion === null
          ? null
          : `${pipeline.model} ${modelVersion.version}${modelVersion.isReused ? ' (same digest as before, reused)' : ''}`,
      ],
      ['error', error === null ? null : `${error.code}: ${error.message}`],
      [
        'log',
        error === null || pipeline.trainingJobId === null ? null : `millrace logs ${pipeline.trainingJobId}`,
      ],
      ['next', modelVersion === null ? null : `millrace verify ${pipeline.model}@${modelVersion.version}`],
    ]),
  );
  return pipeline.state === 'succeeded' ? exitCodes.ok : exitCodes.failed;
}
