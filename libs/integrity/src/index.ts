export { ARTIFACT_PATH_LENGTH_MAX, artifactPathFault, assertArtifactPath } from './artifact-path.ts';
export { signStatement, verifyStatement } from './attestation.ts';
export type { BundleInput, SignatureBundle, SignedBy, VerifyOptions } from './bundle.ts';
export { BUNDLE_BYTES_MAX, BUNDLE_MEDIA_TYPE, IN_TOTO_PAYLOAD_TYPE } from './bundle.ts';
export { canonicalJson } from './canonical-json.ts';
export { withCertificates } from './certificate-signer.ts';
export type { SigningProgram } from './command-signer.ts';
export { createCommandSigner } from './command-signer.ts';
export type { ContentDigest } from './digest.ts';
export { createDigestTransform, digestFile, digestStream, isSha256, sha256Hex } from './digest.ts';
export type { ApprovalAnswer, ApprovedModel, HistoryHead } from './governance-statements.ts';
export {
  APPROVAL_TYPE,
  approvalStatement,
  HISTORY_HEAD_TYPE,
  historyHeadStatement,
  readApproval,
  readHistoryHead,
} from './governance-statements.ts';
export type { ChainRow } from './hash-chain.ts';
export { CHAIN_GENESIS, chainHash, verifyChain } from './hash-chain.ts';
export type { KeyPairPem, Signer } from './keys.ts';
export { createFileSigner, generateKeyPair, publicKeyId } from './keys.ts';
export type { IdentityOptions } from './model-bundle/bundle-identity.ts';
export type { BundleSource } from './model-bundle/bundle-source.ts';
export { openModelBundle, tarBundle } from './model-bundle/bundle-source.ts';
export type { HistoryClaim } from './model-bundle/history-proof.ts';
export {
  HISTORY_ROWS_MAX,
  HISTORY_TYPE,
  historyStatement,
} from './model-bundle/history-proof.ts';
export type { BundleAbout } from './model-bundle/layout.ts';
export { BUNDLE_FORMAT, bundleFiles, MODEL_FOLDER } from './model-bundle/layout.ts';
export type { OpenedBundle, VerifiedBundle } from './model-bundle/verify-model-bundle.ts';
export { openVerifiedBundle, verifyModelBundle } from './model-bundle/verify-model-bundle.ts';
export type { ModelIdentity } from './model-digest.ts';
export { modelDigest } from './model-digest.ts';
export type { FileEntry, VerifiedModel } from './model-signature.ts';
export { MODEL_SIGNATURE_TYPE, rootDigest, signModel, verifyModel } from './model-signature.ts';
export type { PackageManifest } from './package-manifest.ts';
export { createManifest, PACKAGE_FILES_MAX, packageDigest } from './package-manifest.ts';
export type {
  PackageStatements,
  SignedStatements,
  StatementName,
  StatementsOf,
} from './package-statements.ts';
export { buildTypeOf, verifyPackageStatements } from './package-statements.ts';
export type { Provenance, ResourceDescriptor } from './provenance.ts';
export {
  CONVERSION_BUILD_TYPE,
  CONVERSION_STATEMENT,
  MODEL_META_TYPE,
  metaStatement,
  PROVENANCE_TYPE,
  packageSubjects,
  provenanceStatement,
} from './provenance.ts';
export { isVerificationCode, isVerificationRefusal } from './refusals.ts';
export type { Statement, StatementSubject } from './statement.ts';
export { encodeStatement, STATEMENT_TYPE } from './statement.ts';
export { readTar } from './tar/read-tar.ts';
export { tarEnd, tarFileHeader, tarPadding } from './tar/write-tar.ts';
export type { TrustedKeys } from './trust.ts';
export { readTrust } from './trust.ts';
export type { ExpectedVersion, VersionIdentity } from './version-identity.ts';
export {
  assertExpectedVersion,
  readVersionIdentity,
  VERSION_IDENTITY_TYPE,
  verifyVersionIdentity,
  versionIdentityStatement,
} from './version-identity.ts';
