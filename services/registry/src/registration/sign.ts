import type { ArtifactRef } from '@millrace/contracts';
import type {
  PackageManifest,
  Provenance,
  SignatureBundle,
  Signer,
  StatementName,
  StatementSubject,
} from '@millrace/integrity';
import {
  CONVERSION_STATEMENT,
  createManifest,
  encodeStatement,
  metaStatement,
  packageDigest,
  packageSubjects,
  provenanceStatement,
  rootDigest,
  sha256Hex,
  signModel,
  signStatement,
} from '@millrace/integrity';

/** What the registry signs with. */
export type SigningKey = {
  readonly signer: Signer;
  /** The public key that goes with it, and its certificates (PEM). */
  readonly publicKeyPem: string;
  /** That key, older ones and authorities (PEM): whose signatures are taken. */
  readonly trustedPem: string;
};

export type SignedPackage = {
  readonly manifest: PackageManifest;
  readonly packageDigest: string;
  readonly rootDigest: string;
  readonly signature: SignatureBundle;
  readonly keyId: string;
  readonly attestations: readonly Attestation[];
};

type Attestation = {
  readonly name: StatementName;
  readonly predicateType: string;
  readonly bundle: SignatureBundle;
};

/** A conversion that was part of the build: what it made, from what. */
export type Conversion = {
  readonly made: StatementSubject;
  readonly provenance: Omit<Provenance, 'subjects'>;
};

/**
 * Signs a package (OpenSSF Model Signing) and, beside it, how it was made and converted (SLSA provenance) and its meta.
 * The provenance names the statement of the conversion by its digest, so that none can be left out or put in its place.
 * @throws AppError `invalid_artifact_path` or `invalid_request` for files that make no package
 */
export async function signPackage(
  key: SigningKey,
  from: {
    name: string;
    files: readonly ArtifactRef[];
    modelDigest: string;
    provenance: Omit<Provenance, 'subjects'>;
    conversion?: Conversion;
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
  const conversion =
    from.conversion &&
    provenanceStatement({ ...from.conversion.provenance, subjects: [from.conversion.made, ...subjects] });
  const byproducts = [
    ...(from.provenance.byproducts ?? []),
    ...(conversion === undefined
      ? []
      : [{ name: CONVERSION_STATEMENT, digest: { sha256: sha256Hex(encodeStatement(conversion)) } }]),
  ];
  const statements = [
    ['provenance', provenanceStatement({ ...from.provenance, subjects, byproducts })],
    ['meta', metaStatement(subjects, from.meta)],
    ...(conversion === undefined ? [] : ([['conversion', conversion]] as const)),
  ] as const;
  const [signature, ...attestations] = await Promise.all([
    signModel(manifest, signer, from.name),
    ...statements.map(
      async ([name, statement]): Promise<Attestation> => ({
        name,
        predicateType: statement.predicateType,
        bundle: await signStatement(statement, signer),
      }),
    ),
  ]);
  return {
    manifest,
    packageDigest: digests.packageDigest,
    rootDigest: digests.rootDigest,
    signature,
    keyId: signer.keyId(),
    attestations,
  };
}
