import type { ResolvedVersion } from '@millrace/contracts';
import { readVerified } from '../engine/runtime-session.ts';
import type { PackageCache } from './package-cache.ts';

/** The file of a package that names its classes, one a line, in the order of the output. */
export const LABELS_FILE = 'labels.txt';
/** A longer file is not read (bytes). */
const LABELS_BYTES_MAX = 1024 * 1024;

/**
 * The names of the classes of a version; undefined when its package has none. The bytes are checked against the signed
 * manifest. Throws what fetching a file throws, and `digest_mismatch`.
 */
export async function readLabels(
  version: ResolvedVersion,
  cache: PackageCache,
): Promise<readonly string[] | undefined> {
  const file = version.manifest.files.find(({ path }) => path === LABELS_FILE);
  if (file === undefined || file.sizeBytes > LABELS_BYTES_MAX) return undefined;
  const { sha256 } = file;
  const bytes = await readVerified({ path: await cache.fetch(sha256), sha256 });
  return bytes.toString('utf8').trimEnd().split(/\r?\n/);
}
