import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { assertArtifactPath, compareCodePoints } from './artifact-path.ts';
import { canonicalJson } from './canonical-json.ts';
import { isSha256, sha256Hex } from './digest.ts';

/** The files of a model version, sorted by code point of their paths, each path once. */
export type PackageManifest = { readonly files: readonly ArtifactRef[] };

/** Most files in one package; more than any framework's export has, and small enough to hold in memory. */
export const PACKAGE_FILES_MAX = 10_000;

/**
 * Sorts and checks the files of a package. Throws `invalid_artifact_path` for a bad or repeated path,
 * `invalid_request` for no file, too many files, a digest that is not 64 lower-case hex digits or a bad size.
 */
export function createManifest(files: readonly ArtifactRef[]): PackageManifest {
  if (files.length === 0 || files.length > PACKAGE_FILES_MAX) {
    throw new AppError(
      'invalid_request',
      `A package has 1 to ${PACKAGE_FILES_MAX} files, not ${files.length}.`,
    );
  }
  const sorted = files.map(checkedFile).sort((a, b) => compareCodePoints(a.path, b.path));
  sorted.forEach((file, i) => {
    if (file.path !== sorted[i - 1]?.path) return;
    const path = JSON.stringify(file.path);
    throw new AppError('invalid_artifact_path', `The path ${path} occurs twice in the package; rename one.`);
  });
  return { files: sorted };
}

/**
 * `packageDigest`: SHA-256 of the canonical JSON of `{"files":[{path, sha256, sizeBytes}, …]}`, names included.
 * It is the same for any order of the files given, and throws as createManifest does.
 */
export function packageDigest(manifest: PackageManifest): string {
  return sha256Hex(canonicalJson(createManifest(manifest.files)));
}

function checkedFile(file: ArtifactRef): ArtifactRef {
  assertArtifactPath(file.path);
  if (!isSha256(file.sha256)) {
    throw new AppError('invalid_request', `The digest of ${file.path} is not 64 lower-case hex digits.`);
  }
  if (!Number.isSafeInteger(file.sizeBytes) || file.sizeBytes < 0) {
    throw new AppError('invalid_request', `The size of ${file.path} is not a whole number of bytes.`);
  }
  return { path: file.path, sha256: file.sha256, sizeBytes: file.sizeBytes };
}
