import type { ArtifactRef, ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { ENSEMBLE_PATH } from '@millrace/ensemble';
import { packageDigest, verifyModel, verifyVersionIdentity } from '@millrace/integrity';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import { MODEL_JSON } from '@millrace/tfjs';

/** Stages that are served; `archived` is not. */
const SERVABLE: ReadonlySet<string> = new Set(['development', 'staging', 'production']);

/** Throws `stage_not_servable` for an archived version. */
export function assertServable(version: Pick<ResolvedVersion, 'model' | 'version' | 'stage'>): void {
  if (SERVABLE.has(version.stage)) return;
  throw new AppError(
    'stage_not_servable',
    `Version "${version.version}" of "${version.model}" is ${version.stage}; move it to another stage to serve it.`,
  );
}

/**
 * Checks that the signature of a version covers exactly its manifest and was made by the registry's key, that the same
 * key bound this package to the version's names, and gives the file to serve: a graph, the model.json of a TF.js model, or the description of an ensemble. The bytes are checked against this digest when they are read for the runtime.
 * Throws `signature_malformed`, `signature_key_unknown`, `signature_invalid`, `manifest_mismatch`, `identity_missing`,
 * `unsupported_framework`.
 */
export function verifyPackage(version: ResolvedVersion, publicKeyPem: string): ArtifactRef {
  const { files } = version.manifest;
  verifyModel(version.signature, publicKeyPem, files);
  const actual = packageDigest({ files });
  if (actual !== version.packageDigest) {
    throw new AppError('manifest_mismatch', 'The manifest of the version does not have its package digest.', {
      details: { expected: version.packageDigest, actual },
    });
  }
  const { identity, tenant = PLATFORM_TENANT, ...names } = version;
  verifyVersionIdentity(identity, publicKeyPem, { ...names, tenant });
  const graph = files.find((file) => file.path === version.servingFile);
  if (graph === undefined) {
    throw new AppError(
      'manifest_mismatch',
      `The signed manifest has no file "${version.servingFile}" to serve.`,
    );
  }
  if (!graph.path.endsWith('.onnx') && graph.path !== ENSEMBLE_PATH && graph.path !== MODEL_JSON) {
    throw new AppError(
      'unsupported_framework',
      `"${graph.path}" is neither an ONNX graph nor a TF.js model; convert the model first.`,
    );
  }
  return graph;
}
