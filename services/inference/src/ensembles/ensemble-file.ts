import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { ENSEMBLE_BYTES_MAX, PinnedEnsemble } from '@millrace/ensemble';
import Value from 'typebox/value';
import { readVerified } from '../engine/runtime-session.ts';
import type { PackageCache } from '../packages/package-cache.ts';

/**
 * The signed description of an ensemble. Throws what fetching a file throws, `digest_mismatch`, and `invalid_ensemble`
 * for a file that is none.
 */
export async function readEnsemble(file: ArtifactRef, cache: PackageCache): Promise<PinnedEnsemble> {
  if (file.sizeBytes > ENSEMBLE_BYTES_MAX) {
    const what = `${file.path} has ${file.sizeBytes} bytes; at most ${ENSEMBLE_BYTES_MAX} are read.`;
    throw new AppError('invalid_ensemble', what);
  }
  const { sha256 } = file;
  const bytes = await readVerified({ path: await cache.fetch(sha256), sha256 });
  const parsed = parse(bytes.toString('utf8'));
  if (Value.Check(PinnedEnsemble, parsed)) return parsed;
  throw new AppError('invalid_ensemble', `${file.path} does not describe an ensemble; register it again.`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
