import { AppError } from '@millrace/contracts';

/** Longest path of a file in a package, in UTF-16 code units. */
export const ARTIFACT_PATH_LENGTH_MAX = 1024;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses.
const FORBIDDEN = /[\u0000-\u001f\u007f\\]/;

/** Why a path cannot name a file of a package, or undefined when it can. */
export function artifactPathFault(path: string): string | undefined {
  if (path.length === 0) return 'is empty';
  if (path.length > ARTIFACT_PATH_LENGTH_MAX) return `is over ${ARTIFACT_PATH_LENGTH_MAX} characters`;
  if (!path.isWellFormed()) return 'is not valid Unicode';
  if (FORBIDDEN.test(path)) return 'has a backslash or a control character';
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) return 'is absolute';
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    return 'has an empty, "." or ".." part';
  }
  return undefined;
}

/** Throws AppError `invalid_artifact_path` unless the path is relative, `/` separated and free of `..`. */
export function assertArtifactPath(path: string): void {
  const fault = artifactPathFault(path);
  if (fault === undefined) return;
  throw new AppError(
    'invalid_artifact_path',
    `The path ${JSON.stringify(path.slice(0, 200))} ${fault}; rename the file.`,
    {
      details: { path: path.slice(0, 200) },
    },
  );
}

/** Order by Unicode code point, which is the order of the UTF-8 bytes (not the UTF-16 order of `<`). */
export function compareCodePoints(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}

/** Order by path component, each by code point: the order in which the reference signing tool lists files. */
export function compareComponents(a: string, b: string): number {
  const left = a.split('/');
  const right = b.split('/');
  for (let i = 0; i < Math.min(left.length, right.length); i += 1) {
    const order = compareCodePoints(left[i] ?? '', right[i] ?? '');
    if (order !== 0) return order;
  }
  return left.length - right.length;
}
