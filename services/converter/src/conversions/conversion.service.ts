import type { ArtifactRef, ConvertSpec } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';

/** Opset, tag and signature of a conversion that names none; the tolerance is an absolute difference. */
export const conversionDefaults = {
  opset: 17,
  tag: 'serve',
  signature: 'serving_default',
  tolerance: 1e-4,
} as const;

/** Most files of one source; their list travels inside events of at most 64 KiB. */
export const SOURCE_FILES_MAX = 200;

/** The file that each kind of source must have. */
const MAIN_FILES = {
  saved_model: 'saved_model/saved_model.pb',
  keras: 'model.keras',
  tfjs_graph: 'tfjs/model.json',
  weights: 'model.safetensors',
} as const;

/** What a caller may say of a conversion; the rest comes from `conversionDefaults`. */
export type ConversionRequest = Pick<ConvertSpec, 'source'> &
  Partial<Pick<ConvertSpec, 'opset' | 'tag' | 'signature' | 'tolerance' | 'graph' | 'quantization'>>;

/**
 * The spec of the job for a request.
 * @throws AppError `invalid_request` when the source lacks its main file or names a file twice, when `graph` comes with
 * another source than weights, or calibration files are named twice or are of another kind
 */
export function conversionSpec(request: ConversionRequest): ConvertSpec {
  assertConvertible(request.source);
  if (request.graph !== undefined && request.source.format !== 'weights')
    throw new AppError('invalid_request', 'graph is only for a source of format weights; leave it out.');
  assertCalibration(request.quantization?.calibration?.files ?? []);
  return { ...conversionDefaults, ...request, format: 'onnx' };
}

function assertConvertible({ files, format = 'saved_model' }: ConvertSpec['source']): void {
  const paths = new Set(files.map((file) => file.path));
  if (paths.size !== files.length) {
    throw new AppError('invalid_request', 'source.files names a path twice; name each file once.');
  }
  const main = MAIN_FILES[format];
  if (paths.has(main)) return;
  throw new AppError(
    'invalid_request',
    `source.files has no ${main}, which a source of format ${format} needs.`,
  );
}

/** Their paths name them below one folder on the worker. */
function assertCalibration(files: readonly ArtifactRef[]): void {
  if (new Set(files.map(({ path }) => path)).size !== files.length)
    throw new AppError(
      'invalid_request',
      'quantization.calibration.files names a path twice; name each file once.',
    );
  const foreign = files.find(({ path }) => !/\.(arrow|npz)$/.test(path));
  if (foreign === undefined) return;
  throw new AppError(
    'invalid_request',
    `Calibration samples are read from .arrow and .npz files; ${foreign.path} is neither.`,
  );
}

/** Every stored file that the job of a spec reads. */
export function filesOf({ source, quantization }: ConvertSpec): readonly ArtifactRef[] {
  return [...source.files, ...(quantization?.calibration?.files ?? [])];
}

/**
 * Checks that storage has every file, so that a job does not fail later for a typing error.
 * @throws AppError `invalid_request` naming the first missing file
 */
export async function assertStored(
  files: readonly ArtifactRef[],
  hasBlob: (sha256: string) => Promise<boolean>,
): Promise<void> {
  for (const file of files) {
    if (await hasBlob(file.sha256)) continue;
    throw new AppError(
      'invalid_request',
      `Storage has no bytes for ${file.path} (SHA-256 ${file.sha256}); upload the file first.`,
    );
  }
}
