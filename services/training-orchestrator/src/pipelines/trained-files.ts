import type { ArtifactRef, ConvertSpec } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';

/** Files of a training that describe it rather than belong to the package. */
const BESIDE_PACKAGE = new Set(['meta.json', 'conversion.json', 'samples.npz']);
/** What a training hands over as weights: the tensors, what is done with them, and samples to check the graph. */
const WEIGHTS = new Set(['model.safetensors', 'architecture.json', 'samples.npz']);

/** What the converter needs of a training: weights with their architecture, else the SavedModel; and the samples. */
export function conversionSource(
  files: readonly ArtifactRef[],
): Pick<ConvertSpec['source'], 'format' | 'files'> {
  if (files.some(({ path }) => path === 'architecture.json'))
    return { format: 'weights', files: files.filter(({ path }) => WEIGHTS.has(path)) };
  return {
    files: files.filter(({ path }) => path.startsWith('saved_model/') || path === 'samples.npz'),
  };
}

/** Files of a training and of its conversion that make up the package of a version; of two of one path, the later. */
export function packageFiles(files: readonly ArtifactRef[]): ArtifactRef[] {
  const latest = new Map(files.map((file) => [file.path, file]));
  return [...latest.values()].filter((file) => !BESIDE_PACKAGE.has(file.path));
}

/**
 * Digests of the graphs that a training tells of, beside that of the ONNX file: a frozen graph or an architecture, and
 * the model for devices if it made one.
 */
export function graphDigests(
  meta: Record<string, unknown>,
  converted: readonly ArtifactRef[],
): Record<string, string> {
  const trained =
    'architectureDigest' in meta
      ? { architecture: digestIn(meta, 'architectureDigest') }
      : { frozenGraph: digestIn(meta, 'frozenGraphDigest') };
  const edge = 'tfliteDigest' in meta ? { tflite: digestIn(meta, 'tfliteDigest') } : {};
  return { ...trained, ...edge, onnx: fileDigest(converted, 'model.onnx') };
}

/** A digest that a training reports. @throws AppError `training_failed` when it does not */
export function digestIn(meta: Record<string, unknown>, key: string): string {
  const value = meta[key];
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
  throw new AppError('training_failed', `The training reported no ${key}; its recipe must export one.`);
}

function fileDigest(files: readonly ArtifactRef[], path: string): string {
  const file = files.find((candidate) => candidate.path === path);
  if (file === undefined) throw new AppError('conversion_failed', `The conversion gave no ${path}.`);
  return file.sha256;
}
