import { AppError } from '@millrace/contracts';
import type { VerifyOptions } from '../bundle.ts';
import type { TrustedKeys } from '../trust.ts';
import type { ExpectedVersion, VersionIdentity } from '../version-identity.ts';
import { assertExpectedVersion, readVersionIdentity } from '../version-identity.ts';
import type { HistoryClaim } from './history-proof.ts';
import { bundleFiles } from './layout.ts';

/** Whom a reader means, and whether a bundle of a release that signed no names will do. */
export type IdentityOptions = {
  readonly expected?: ExpectedVersion;
  /** Goes by the history alone where the bundle has no statement of its version. */
  readonly isIdentityOptional?: boolean;
};

/** What a bundle says of itself and has been found to be. */
type Named = {
  readonly model: string;
  readonly version: string;
  readonly packageDigest: string;
  readonly files: readonly { readonly path: string }[];
  readonly history: HistoryClaim;
};

/**
 * Checks that a bundle is of the version that it calls itself and that the reader means: the statement that the registry
 * signed when it registered the version, beside the history that it signed when the bundle was made. Throws what
 * verifyStatement throws, `identity_missing`, and `manifest_mismatch` for another version.
 */
export function verifyBundleIdentity(
  signed: Buffer | undefined,
  trusted: TrustedKeys,
  named: Named,
  options: IdentityOptions & VerifyOptions,
): VersionIdentity | undefined {
  const { model, version, packageDigest, history } = named;
  const expected = options.expected ?? {};
  if (signed === undefined) {
    assertMayLack(options, named);
    return undefined;
  }
  const identity = readVersionIdentity(signed, trusted, {
    packageDigest,
    ...(options.at !== undefined && { at: options.at }),
  });
  const isItself =
    identity.model === model &&
    identity.version === version &&
    identity.modelVersionId === history.modelVersionId;
  if (!isItself)
    throw mismatch(
      `calls itself ${model} ${version} and was registered as ${identity.model} ${identity.version}`,
    );
  const { servingFile } = identity;
  if (servingFile !== '' && !named.files.some(({ path }) => path === servingFile))
    throw mismatch(
      `was registered with ${JSON.stringify(servingFile)} as the file that is served, and lacks it`,
    );
  assertExpectedVersion(identity, expected);
  return identity;
}

/** Without a statement only label and model are known, from the history; nothing tells the tenant or the ordinal. */
function assertMayLack(
  { expected = {}, isIdentityOptional }: IdentityOptions,
  { model, version }: Named,
): void {
  if (isIdentityOptional !== true)
    throw new AppError(
      'identity_missing',
      `The bundle lacks ${bundleFiles.identity}, the signed statement of which version it is: export the version again, or say --allow-missing-identity if a release before there was one made it, to go by the history in it.`,
    );
  if (expected.tenant !== undefined)
    throw new AppError('identity_missing', 'The bundle has no signed statement of the tenant it is of.');
  const isMeant = (expected.model ?? model) === model && (expected.version ?? version) === version;
  if (!isMeant) throw mismatch(`is of ${model} ${version} by its history, and another version is expected`);
}

function mismatch(why: string): AppError {
  return new AppError('manifest_mismatch', `The bundle ${why}.`);
}
