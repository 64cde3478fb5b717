import { keyIdOf, type Signer } from './keys.ts';
import { loadCertificate } from './trust.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * A signer that signs by the certificate method: `chainPem` has its certificate first, then those that lead to the
 * root. Throws TypeError when there is none or it is not of the signer's key.
 */
export function withCertificates(signer: Signer, chainPem: string): Signer {
  const chain = (chainPem.match(CERTIFICATE) ?? []).map((pem) => loadCertificate(pem));
  const [leaf] = chain;
  if (leaf === undefined)
    throw new TypeError('The chain holds no certificate; give PEM, the signing one first.');
  if (keyIdOf(leaf.publicKey) !== signer.keyId())
    throw new TypeError('The first certificate of the chain is not of the key that signs.');
  return {
    keyId: () => signer.keyId(),
    sign: (bytes) => signer.sign(bytes),
    certificates: chain.map(({ raw }) => raw),
  };
}
