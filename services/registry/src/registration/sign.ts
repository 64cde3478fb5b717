import type { ArtifactRef } from '@millrace/contracts';
import type { PackageManifest, Provenance, SignatureBundle, Signer } from '@millrace/integrity';
import {
  createManifest,
  MODEL_META_TYPE,
  metaStatement,
  PROVENANCE_TYPE,
  packageDigest,
  packageSubjects,
  provenanceStatement,
  rootDigest,
  signModel,
  signStatement,
} from '@millrace/integrity';

/** The private key of the registry and the public one that goes with it (PEM). */
export type SigningKey = { readonly signer: Signer; readonly publicKeyPem: string };

export type SignedPackage = {
  readonly manifest: PackageManifest;
  readonly packageDigest: string;
  readonly rootDigest: string;
  readonly signature: SignatureBundle;
  readonly keyId: string;
  readonly attestations: readonly { predicateType: string; bundle: SignatureBundle }[];
};

/**
 * Signs a package (OpenSSF Model Signing) and, beside it, how it was made (SLSA provenance) and its meta.
 * @throws AppError `invalid_artifact_path` or `invalid_request` for files that make no package
 */
export async function signPackage(
  key: SigningKey,
  from: {
    name: string;
    files: readonly ArtifactRef[];
    modelDigest: string;
    provenance: Omit<Provenance, 'subjects'>;
    meta: Readonly<Record<string, unknown>>;
  },
): Promise<SignedPackage> {
  const { signer } = key;
  const manifest = createManifest(from.files);
  const digests = {
    packageDigest: packageDigest(manifest),
    modelDigest: from.modelDigest,
    rootDigest: rootDigest(manifest),
  };
  const subjects = packageSubjects(digests);
  const [signature, provenance, meta] = await Promise.all([
    signModel(manifest, signer, from.name),
    signStatement(provenanceStatement({ ...from.provenance, subjects }), signer),
    signStatement(metaStatement(subjects, from.meta), signer),
  ]);
  return {
    manifest,
    packageDigest: digests.packageDigest,
    rootDigest: digests.rootDigest,
    signature,
    keyId: signer.keyId(),
    attestations: [
      { predicateType: PROVENANCE_TYPE, bundle: provenance },
      { predicateType: MODEL_META_TYPE, bundle: meta },
    ],
  };
}
