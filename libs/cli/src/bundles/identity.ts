import { AppError } from '@millrace/contracts';
import type { ExpectedVersion, IdentityOptions, VersionIdentity } from '@millrace/integrity';
import { assertExpectedVersion, readVersionIdentity } from '@millrace/integrity';
import type { BundleParts } from '@millrace/sdk';
import type { Context } from '../command.ts';
import { modelArgument, textOption } from '../command.ts';
import type { Trusted } from './trusted.ts';

/** Options by which a command is told which version it is to find, and that older bundles will do. */
export const identityOptions = {
  expect: { type: 'string' },
  tenant: { type: 'string' },
  'allow-missing-identity': { type: 'boolean' },
} as const;

/** Help of these options. */
export const IDENTITY_HELP = `  --expect MODEL[@VERSION]  refuse anything that was not signed as this version (label or ordinal)
  --tenant TENANT           refuse anything that was not signed as this tenant's
  --allow-missing-identity  take what was made before the names of versions were signed`;

/** What the options say. Throws UsageError. */
export function identityBy(context: Context): Required<IdentityOptions> {
  const [expect, tenant] = [textOption(context, 'expect'), textOption(context, 'tenant')];
  const { name: model, version } = expect === undefined ? {} : modelArgument(expect);
  return {
    expected: {
      ...(tenant !== undefined && { tenant }),
      ...(model !== undefined && { model }),
      ...(version !== undefined && { version }),
    },
    isIdentityOptional: context.options['allow-missing-identity'] === true,
  };
}

/** The version that somebody asked a platform for: an alias, or none, leaves open which one it is. */
export function askedVersion(model: string, version: string | undefined): ExpectedVersion {
  return { model, ...(version !== undefined && !version.startsWith('@') && { version }) };
}

/**
 * Checks that the parts that a platform gave are those of the version that it was asked for. Throws what
 * readVersionIdentity throws, `identity_missing`, and `manifest_mismatch` for another version.
 */
export function verifyPartsIdentity(
  parts: Pick<BundleParts, 'model' | 'version' | 'packageDigest' | 'identity' | 'manifest'>,
  trusted: Trusted,
  { expected = {}, isIdentityOptional = false }: IdentityOptions,
): VersionIdentity | undefined {
  const { model, version, packageDigest } = parts;
  if (parts.identity === null) {
    if (isIdentityOptional) return undefined;
    throw new AppError(
      'identity_missing',
      `Nothing signed says that ${version} of ${model} is made of its package; have the registry started once with MILLRACE_SIGN_OLD_VERSIONS=true if an older release registered it, or say --allow-missing-identity.`,
    );
  }
  const identity = readVersionIdentity(parts.identity, trusted.pem, { packageDigest, at: trusted.at });
  assertExpectedVersion(identity, expected);
  assertExpectedVersion(identity, { model, version });
  return identity;
}
