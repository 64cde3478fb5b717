import { AppError } from '@millrace/contracts';
import type { BundleInput, SignatureBundle, SignedBy, VerifyOptions } from './bundle.ts';
import { openBundle, signBundle } from './bundle.ts';
import type { Signer } from './keys.ts';
import type { Statement } from './statement.ts';
import { decodeStatement, encodeStatement, malformed } from './statement.ts';
import type { TrustedKeys } from './trust.ts';

/** Signs any in-toto statement (provenance, metadata) as a Sigstore bundle. */
export function signStatement(statement: Statement, signer: Signer): Promise<SignatureBundle> {
  return signBundle(encodeStatement(statement), signer);
}

/**
 * Checks a signed statement and returns it with who signed. The statement must be of `predicateType`, and its
 * subjects must include every digest of `subjectDigests`. Throws `signature_malformed` (also for another predicate
 * type), `signature_key_unknown`, `certificate_untrusted`, `certificate_invalid`, `signature_invalid`, or
 * `manifest_mismatch` when it speaks about other digests.
 */
export function verifyStatement(
  bundle: BundleInput,
  trusted: TrustedKeys,
  expected: { predicateType: string; subjectDigests?: readonly string[] } & VerifyOptions,
): { statement: Statement } & SignedBy {
  const { payload, ...signer } = openBundle(bundle, trusted, expected);
  const statement = decodeStatement(payload);
  if (statement.predicateType !== expected.predicateType) {
    throw malformed(
      `it is a statement of the type ${statement.predicateType}, not ${expected.predicateType}`,
    );
  }
  const known = new Set(statement.subject.map((subject) => subject.digest.sha256));
  const missing = (expected.subjectDigests ?? []).filter((digest) => !known.has(digest));
  if (missing.length > 0) {
    throw new AppError('manifest_mismatch', `The statement does not speak about ${missing.join(', ')}.`, {
      details: { missing },
    });
  }
  return { statement, ...signer };
}
