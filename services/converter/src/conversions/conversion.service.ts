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
} as const;

/** What a caller may say of a conversion; the rest comes from `conversionDefaults`. */
export type ConversionRequest = Pick<ConvertSpec, 'source'> &
  Partial<Pick<ConvertSpec, 'opset' | 'tag' | 'signature' | 'tolerance'>>;

/**
 * The spec of the job for a request.
 * @throws AppError `invalid_request` when the source lacks its main file or names a file twice
 */
export function conversionSpec(request: ConversionRequest): ConvertSpec {
  assertConvertible(request.source);
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
