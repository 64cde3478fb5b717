export { ARTIFACT_PATH_LENGTH_MAX, artifactPathFault, assertArtifactPath } from './artifact-path.ts';
export { signStatement, verifyStatement } from './attestation.ts';
export type { BundleInput, SignatureBundle, TrustedKeys } from './bundle.ts';
export { BUNDLE_BYTES_MAX, BUNDLE_MEDIA_TYPE, IN_TOTO_PAYLOAD_TYPE } from './bundle.ts';
export { canonicalJson } from './canonical-json.ts';
export type { ContentDigest } from './digest.ts';
export { createDigestTransform, digestFile, digestStream, isSha256, sha256Hex } from './digest.ts';
export type { ChainRow } from './hash-chain.ts';
export { CHAIN_GENESIS, chainHash, verifyChain } from './hash-chain.ts';
export type { KeyPairPem, Signer } from './keys.ts';
export { createFileSigner, generateKeyPair, publicKeyId } from './keys.ts';
export type { ModelIdentity } from './model-digest.ts';
export { modelDigest } from './model-digest.ts';
export type { FileEntry, VerifiedModel } from './model-signature.ts';
export { MODEL_SIGNATURE_TYPE, rootDigest, signModel, verifyModel } from './model-signature.ts';
export type { PackageManifest } from './package-manifest.ts';
export { createManifest, PACKAGE_FILES_MAX, packageDigest } from './package-manifest.ts';
export type { Provenance, ResourceDescriptor } from './provenance.ts';
export {
  MODEL_META_TYPE,
  metaStatement,
  PROVENANCE_TYPE,
  packageSubjects,
  provenanceStatement,
} from './provenance.ts';
export type { Statement, StatementSubject } from './statement.ts';
export { STATEMENT_TYPE } from './statement.ts';
