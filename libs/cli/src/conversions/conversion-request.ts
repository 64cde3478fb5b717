import type { ArtifactRef, JobView, Quantization } from '@millrace/contracts';
import type { ConversionRequest } from '@millrace/sdk';
import type { Context } from '../command.ts';
import { integerOption, textOption, UsageError } from '../command.ts';

/** What a model can be reduced to. */
export const MODES: readonly string[] = ['int8_dynamic', 'int8_static', 'float16'];
const WEIGHTS = new Set(['model.safetensors', 'architecture.json', 'samples.npz']);
/** Rows that the training did not learn from come first. */
const CALIBRATION_FILES = ['validation.arrow', 'test.arrow', 'train.arrow'];

/** What to ask of the converter for the model of a training, or for what a conversion read. Throws UsageError. */
export function conversionRequest(context: Pick<Context, 'options'>, job: JobView): ConversionRequest {
  const opset = integerOption(context, 'opset', 1);
  const source = sourceOf(job);
  const graph = {
    ...named('inputName', textOption(context, 'input-name')),
    ...named('outputName', textOption(context, 'output-name')),
    ...(context.options['no-fuse'] === true ? { fuse: false } : {}),
  };
  const quantization = quantizationOf(context, job);
  return {
    source,
    ...(opset === undefined ? {} : { opset }),
    ...(Object.keys(graph).length === 0 ? {} : { graph }),
    ...(quantization === undefined ? {} : { quantization }),
  };
}

const named = (name: string, value: string | undefined) => (value === undefined ? {} : { [name]: value });

function sourceOf(job: JobView): ConversionRequest['source'] {
  if (job.kind === 'convert') {
    const { source } = job.spec as { source: ConversionRequest['source'] };
    return source;
  }
  if (job.kind !== 'train') throw new UsageError(`A job of kind ${job.kind} has no model; name a training.`);
  const files = job.result?.files;
  if (files === undefined)
    throw new UsageError(`The training is ${job.state}; only one that succeeded has a model.`);
  return trainedSource(job.id, files);
}

/** What a pipeline gives to the converter of what a training made: its weights, else its SavedModel. */
export function trainedSource(
  trainingJobId: string,
  files: readonly ArtifactRef[],
): ConversionRequest['source'] {
  const weights = files.filter(({ path }) => WEIGHTS.has(path));
  const saved = files.filter(({ path }) => path.startsWith('saved_model/') || path === 'samples.npz');
  return weights.some(({ path }) => path === 'model.safetensors')
    ? { trainingJobId, format: 'weights', files: weights }
    : { trainingJobId, files: saved };
}

/** What --quantize, --agreement-min and --target ask for; undefined without. Throws UsageError. */
export function quantizeOptions(
  context: Pick<Context, 'options'>,
): (Pick<Quantization, 'mode' | 'agreementMin'> & { target?: string }) | undefined {
  const mode = textOption(context, 'quantize');
  const least = textOption(context, 'agreement-min');
  const target = textOption(context, 'target');
  if (mode === undefined) {
    if (least === undefined && target === undefined) return undefined;
    throw new UsageError('--target and --agreement-min are for --quantize.');
  }
  if (!MODES.includes(mode)) throw new UsageError(`--quantize takes ${MODES.join(', ')}, not '${mode}'.`);
  if (least !== undefined && !(Number(least) >= 0 && Number(least) <= 1))
    throw new UsageError(`--agreement-min takes a share from 0 to 1, not '${least}'.`);
  return {
    mode: mode as Quantization['mode'],
    ...(least === undefined ? {} : { agreementMin: Number(least) }),
    ...(target === undefined ? {} : { target }),
  };
}

function quantizationOf(context: Pick<Context, 'options'>, job: JobView): Quantization | undefined {
  const asked = quantizeOptions(context);
  if (asked === undefined) return undefined;
  const { target, ...quantization } = asked;
  const files = datasetFiles(job);
  if (files.length === 0) return quantization;
  return { ...quantization, calibration: { files, ...(target === undefined ? {} : { target }) } };
}

/** The file of the training's dataset version that samples are taken from; of a conversion, those that it named. */
function datasetFiles(job: JobView): ArtifactRef[] {
  const { dataset, quantization } = job.spec as {
    dataset?: { files: ArtifactRef[] };
    quantization?: Quantization;
  };
  for (const path of CALIBRATION_FILES) {
    const file = dataset?.files.find((one) => one.path === path);
    if (file !== undefined) return [file];
  }
  return quantization?.calibration?.files ?? [];
}
