import type { KeyObject, X509Certificate } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_kp_codeSigning,
  KeyUsage,
  KeyUsageFlags,
} from '@peculiar/asn1-x509';
import { isSigningCurve } from './keys.ts';
import { loadCertificate } from './trust.ts';

/** Longest chain that is followed, leaf and root included. */
export const CERTIFICATES_MAX = 8;

/** What a leaf that was found good says. */
export type VerifiedLeaf = {
  readonly publicKey: KeyObject;
  /** SHA-256 of the certificate, in hex. */
  readonly fingerprint: string;
  /** Its distinguished name, one part after the other. */
  readonly subject: string;
};

type Uses = {
  /** Bits of key usage; undefined where the extension is absent. */
  readonly keyUsage: number | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly isAuthority: boolean;
  readonly pathLengthMax: number | undefined;
  /** Critical extensions that are not looked at here: they may forbid what is done. */
  readonly unknownCritical: readonly string[];
};

/**
 * Follows a chain (DER, leaf first) to a trusted root and checks at the instant `at`: signatures, names, validity of
 * each certificate, that authorities are such and may sign certificates within their path length, and that the leaf may
 * sign. Throws `certificate_untrusted` when no root is reached, `certificate_invalid` when one on the way is not good.
 */
export function verifyCertificateChain(
  chain: readonly Buffer[],
  roots: readonly X509Certificate[],
  at: Date,
): VerifiedLeaf {
  const [leaf, ...others] = chain.map(readCertificate);
  if (leaf === undefined || chain.length > CERTIFICATES_MAX)
    throw invalid(`a chain has 1 to ${CERTIFICATES_MAX} certificates, not ${chain.length}`);
  const path = findPath(leaf, others, roots);
  path.forEach((certificate, depth) => {
    assertValidAt(certificate, at);
    const uses = usesOf(certificate);
    if (uses.unknownCritical.length > 0)
      throw invalid(`${nameOf(certificate)} has a critical extension ${uses.unknownCritical[0]}`);
    if (depth === 0) assertMaySign(certificate, uses);
    else assertMayIssue(certificate, uses, depth - 1);
  });
  if (!isSigningCurve(leaf.publicKey))
    throw invalid(`the key of ${nameOf(leaf)} is not on P-256, P-384 or P-521`);
  return {
    publicKey: leaf.publicKey,
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: nameOf(leaf),
  };
}

/** From the leaf to a trusted root: the issuer is a root where one fits, else a certificate that came along. */
function findPath(
  leaf: X509Certificate,
  others: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): X509Certificate[] {
  const path = [leaf];
  const isRoot = (certificate: X509Certificate): boolean =>
    roots.some((root) => root.fingerprint256 === certificate.fingerprint256);
  for (let current = leaf; !isRoot(current); ) {
    const issuer = [...roots, ...others].find(
      (candidate) => !path.includes(candidate) && isIssuedBy(current, candidate),
    );
    if (issuer === undefined || path.length >= CERTIFICATES_MAX) {
      throw new AppError(
        'certificate_untrusted',
        `The chain of ${nameOf(leaf)} ends at ${nameOf(current)}, which no trusted certificate issued; trust its root or sign with another certificate.`,
        { details: { subject: nameOf(leaf), end: nameOf(current) } },
      );
    }
    path.push(issuer);
    current = issuer;
  }
  return path;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function assertValidAt(certificate: X509Certificate, at: Date): void {
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  // both are sure to be dates; a comparison with NaN must not let anything pass
  if (at.getTime() >= from && at.getTime() <= to) return;
  throw invalid(
    `${nameOf(certificate)} is valid from ${certificate.validFrom} to ${certificate.validTo}, not at ${at.toISOString()}`,
  );
}

function assertMaySign(leaf: X509Certificate, uses: Uses): void {
  if (uses.isAuthority) throw invalid(`${nameOf(leaf)} is of an authority; sign with one that it issued`);
  const isDigital = uses.keyUsage !== undefined && (uses.keyUsage & KeyUsageFlags.digitalSignature) !== 0;
  const isForCode = uses.extendedKeyUsage?.includes(id_kp_codeSigning) ?? false;
  if (uses.keyUsage !== undefined && !isDigital)
    throw invalid(`${nameOf(leaf)} may not make digital signatures`);
  if (uses.extendedKeyUsage !== undefined && !isForCode) throw invalid(`${nameOf(leaf)} may not sign code`);
  if (!isDigital && !isForCode)
    throw invalid(`${nameOf(leaf)} has neither the usage digitalSignature nor codeSigning`);
}

function assertMayIssue(issuer: X509Certificate, uses: Uses, intermediates: number): void {
  const maySign = uses.keyUsage === undefined || (uses.keyUsage & KeyUsageFlags.keyCertSign) !== 0;
  if (!uses.isAuthority || !maySign) throw invalid(`${nameOf(issuer)} may not issue certificates`);
  if (uses.pathLengthMax !== undefined && intermediates > uses.pathLengthMax)
    throw invalid(`the chain below ${nameOf(issuer)} is longer than its ${uses.pathLengthMax}`);
}

function usesOf(certificate: X509Certificate): Uses {
  try {
    const { extensions = [] } = AsnConvert.parse(certificate.raw, Certificate).tbsCertificate;
    const find = (id: string): ArrayBuffer | undefined =>
      extensions.find((extension) => extension.extnID === id)?.extnValue.buffer;
    const [usage, extended, basic] = [id_ce_keyUsage, id_ce_extKeyUsage, id_ce_basicConstraints].map(find);
    const constraints = basic === undefined ? undefined : AsnConvert.parse(basic, BasicConstraints);
    const known: readonly string[] = [id_ce_keyUsage, id_ce_extKeyUsage, id_ce_basicConstraints];
    return {
      keyUsage: usage === undefined ? undefined : AsnConvert.parse(usage, KeyUsage).toNumber(),
      extendedKeyUsage:
        extended === undefined ? undefined : [...AsnConvert.parse(extended, ExtendedKeyUsage)],
      isAuthority: constraints?.cA ?? false,
      pathLengthMax: constraints?.pathLenConstraint,
      unknownCritical: extensions
        .filter(({ critical, extnID }) => critical === true && !known.includes(extnID))
        .map(({ extnID }) => extnID),
    };
  } catch (cause) {
    throw invalid(`${nameOf(certificate)} cannot be read`, cause);
  }
}

function readCertificate(der: Buffer): X509Certificate {
  try {
    return loadCertificate(der);
  } catch (cause) {
    throw invalid('one of the chain cannot be read', cause);
  }
}

const nameOf = ({ subject }: X509Certificate): string =>
  subject?.replaceAll('\n', ', ') ?? 'a nameless certificate';

function invalid(why: string, cause?: unknown): AppError {
  return new AppError('certificate_invalid', `The certificate cannot be used: ${why}.`, { cause });
}
