import { AppError } from '@millrace/contracts';
import { verifyStatement } from './attestation.ts';
import type { BundleInput, VerifyOptions } from './bundle.ts';
import { sha256Hex } from './digest.ts';
import {
  CONVERSION_BUILD_TYPE,
  CONVERSION_STATEMENT,
  MODEL_META_TYPE,
  PROVENANCE_TYPE,
} from './provenance.ts';
import type { Statement } from './statement.ts';
import { encodeStatement, isObject } from './statement.ts';
import type { TrustedKeys } from './trust.ts';

/** What the signed statements beside a package are called: how it was built, what was measured, how it was converted. */
export type StatementName = 'provenance' | 'meta' | 'conversion';

/** The statements of a package as they were signed; only what was converted here has one of its conversion. */
export type SignedStatements = {
  readonly provenance: BundleInput;
  readonly meta: BundleInput;
  readonly conversion?: BundleInput;
};

/** The statements of a package after their check. */
export type PackageStatements = {
  readonly provenance: Statement;
  readonly meta: Statement;
  readonly conversion?: Statement;
};

/** The package that statements must speak about. */
export type StatementsOf = {
  readonly packageDigest: string;
  readonly rootDigest: string;
  readonly files: readonly { readonly sha256: string }[];
};

/**
 * Checks every signed statement beside a package: its signature, that it speaks about this package, and that the
 * statement of the conversion is the one that the provenance names, no more and no less. Throws what verifyStatement
 * throws, and `manifest_mismatch`.
 */
export function verifyPackageStatements(
  signed: SignedStatements,
  trusted: TrustedKeys,
  about: StatementsOf & VerifyOptions,
): PackageStatements {
  const verified = (bundle: BundleInput, predicateType: string): Statement =>
    verifyStatement(bundle, trusted, {
      ...about,
      predicateType,
      subjectDigests: [about.packageDigest, about.rootDigest],
    }).statement;
  const provenance = verified(signed.provenance, PROVENANCE_TYPE);
  if (buildTypeOf(provenance) === CONVERSION_BUILD_TYPE)
    throw mismatch('its provenance tells of a conversion only');
  const meta = verified(signed.meta, MODEL_META_TYPE);
  const named = conversionNamedBy(provenance);
  if (signed.conversion === undefined) {
    if (named === undefined) return { provenance, meta };
    throw mismatch('the statement about the conversion is missing');
  }
  const conversion = verified(signed.conversion, PROVENANCE_TYPE);
  if (sha256Hex(encodeStatement(conversion)) !== named)
    throw mismatch('the statement about the conversion is not the one that the provenance names');
  const inPackage = new Set(about.files.map(({ sha256 }) => sha256));
  if (!conversion.subject.some(({ digest }) => inPackage.has(digest.sha256)))
    throw mismatch('the conversion made no file of this package');
  return { provenance, meta, conversion };
}

/** What kind of build a provenance statement tells of. */
export function buildTypeOf({ predicate }: Statement): string | undefined {
  const { buildDefinition } = predicate;
  const buildType = isObject(buildDefinition) ? buildDefinition.buildType : undefined;
  return typeof buildType === 'string' ? buildType : undefined;
}

/** SHA-256 of the statement of the conversion, as the provenance has it among its by-products. */
function conversionNamedBy({ predicate }: Statement): string | undefined {
  const { runDetails } = predicate;
  const byproducts =
    isObject(runDetails) && Array.isArray(runDetails.byproducts) ? runDetails.byproducts : [];
  const found: unknown = byproducts.find((one) => isObject(one) && one.name === CONVERSION_STATEMENT);
  const digest = isObject(found) && isObject(found.digest) ? found.digest.sha256 : undefined;
  return typeof digest === 'string' ? digest : undefined;
}

function mismatch(why: string): AppError {
  return new AppError('manifest_mismatch', `The signed statements do not belong together: ${why}.`);
}
