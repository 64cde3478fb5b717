import { AppError } from '@millrace/contracts';
import { verifyStatement } from './attestation.ts';
import type { BundleInput, VerifyOptions } from './bundle.ts';
import { canonicalJson } from './canonical-json.ts';
import type { Statement } from './statement.ts';
import { malformed, STATEMENT_TYPE } from './statement.ts';
import type { TrustedKeys } from './trust.ts';

/** Predicate type of the statement that binds a version's names to its package. */
export const VERSION_IDENTITY_TYPE = 'urn:millrace:version:v1';

/** What a version is called, and which file of which package serves it: all that a loader goes by. */
export type VersionIdentity = {
  readonly tenant: string;
  readonly modelId: string;
  readonly model: string;
  readonly modelVersionId: string;
  /** The label. */
  readonly version: string;
  readonly ordinal: number;
  readonly packageDigest: string;
  readonly servingFile: string;
};

/** Builds the statement of a version's identity; sign it with signStatement. */
export function versionIdentityStatement(identity: VersionIdentity): Statement {
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name: 'package', digest: { sha256: identity.packageDigest } }],
    predicateType: VERSION_IDENTITY_TYPE,
    predicate: pick(identity),
  };
}

/**
 * Checks that a version was registered under these names with this package, so that no other version's package, however
 * well it is signed, passes for it. Throws what verifyStatement throws, `identity_missing` for no statement, and
 * `manifest_mismatch` for one about another version.
 */
export function verifyVersionIdentity(
  bundle: BundleInput | null | undefined,
  trusted: TrustedKeys,
  expected: VersionIdentity & VerifyOptions,
): void {
  const { model, version, packageDigest } = expected;
  if (bundle === null || bundle === undefined) {
    throw new AppError(
      'identity_missing',
      `Nothing signed says that ${version} of ${model} is made of its package; start the registry once with MILLRACE_SIGN_OLD_VERSIONS=true if it was registered by an older release.`,
    );
  }
  const { statement } = verifyStatement(bundle, trusted, {
    ...(expected.at !== undefined && { at: expected.at }),
    predicateType: VERSION_IDENTITY_TYPE,
    subjectDigests: [packageDigest],
  });
  const signed = statement.predicate;
  const differing = Object.entries(pick(expected)).filter(([name, value]) => signed[name] !== value);
  if (differing.length === 0) return;
  throw new AppError(
    'manifest_mismatch',
    `${version} of ${model} was signed as another version: ${differing.map(([name]) => name).join(', ')} differ.`,
    { details: { signed: canonicalJson(signed).slice(0, 2_000) } },
  );
}

/** A version that a reader means: what is left out may be anything. */
export type ExpectedVersion = {
  readonly tenant?: string;
  readonly model?: string;
  /** Its label or its ordinal. */
  readonly version?: string;
};

/**
 * Reads which version a signed statement binds to a package. Throws what verifyStatement throws, and
 * `signature_malformed` for a statement that lacks a name.
 */
export function readVersionIdentity(
  bundle: BundleInput,
  trusted: TrustedKeys,
  of: { readonly packageDigest: string } & VerifyOptions,
): VersionIdentity {
  const { statement } = verifyStatement(bundle, trusted, {
    ...(of.at !== undefined && { at: of.at }),
    predicateType: VERSION_IDENTITY_TYPE,
    subjectDigests: [of.packageDigest],
  });
  const { ordinal, ...texts } = pick(statement.predicate as VersionIdentity);
  const isWhole = Number.isSafeInteger(ordinal) && Object.values(texts).every((v) => typeof v === 'string');
  if (!isWhole) throw malformed('its statement about the version lacks a name');
  return { ...texts, ordinal };
}

/** Compares a signed identity with the version that the reader means. Throws `manifest_mismatch`. */
export function assertExpectedVersion(identity: VersionIdentity, expected: ExpectedVersion): void {
  const { tenant, model, version, ordinal } = identity;
  const isMeant =
    (expected.tenant ?? tenant) === tenant &&
    (expected.model ?? model) === model &&
    [undefined, version, String(ordinal)].includes(expected.version);
  if (isMeant) return;
  const meant = [expected.model ?? model, expected.version, expected.tenant && `of ${expected.tenant}`];
  throw new AppError(
    'manifest_mismatch',
    `This was signed as ${model} ${version} (version ${ordinal}) of ${tenant}, and not as ${meant.filter((part) => part).join(' ')}: an older version or another model lies in its place.`,
  );
}

function pick(identity: VersionIdentity): VersionIdentity {
  const { tenant, modelId, model, modelVersionId, version, ordinal, packageDigest, servingFile } = identity;
  return { tenant, modelId, model, modelVersionId, version, ordinal, packageDigest, servingFile };
}
