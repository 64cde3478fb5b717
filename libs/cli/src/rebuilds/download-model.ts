import { createHash } from 'node:crypto';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';

/** A download on which the whole file does not come within this time is given up (ms). */
const DOWNLOAD_TIMEOUT_MS = 600_000;
/** A larger model is not read into memory to compare its weights (bytes). */
const COMPARED_BYTES_MAX = 512 * 1024 * 1024;

/**
 * Downloads a model into memory and compares its digest. Throws `artifact_missing` for no file, `model_too_large`,
 * `storage_unavailable` and `digest_mismatch`.
 */
export async function downloadModel(
  file: (ArtifactRef & { url: string }) | undefined,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (file === undefined)
    throw new AppError('artifact_missing', 'The platform gives no address for the model.');
  const { path, sha256, sizeBytes, url } = file;
  if (sizeBytes > COMPARED_BYTES_MAX)
    throw new AppError('model_too_large', `${path} has ${sizeBytes} bytes: too many to compare its weights.`);
  const hash = createHash('sha256');
  const chunks: Uint8Array[] = [];
  let left = sizeBytes;
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS)]),
    });
    if (!response.ok || response.body === null) throw new Error(`it answered ${response.status}`);
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      left -= chunk.byteLength;
      if (left < 0) break;
      hash.update(chunk);
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new AppError('storage_unavailable', `The object store did not give ${path}; try again.`, { cause });
  }
  if (left === 0 && hash.digest('hex') === sha256) return Buffer.concat(chunks);
  throw new AppError('digest_mismatch', `The file ${path} is not the one that its digest names.`);
}
