import type { KeyObject } from 'node:crypto';
import { X509Certificate } from 'node:crypto';
import { loadPublicKey, publicKeyId } from './keys.ts';

/**
 * PEM texts of what is trusted: each PUBLIC KEY block is a key, each CERTIFICATE block the root of chains. One text may
 * hold several, so that old signatures stay valid while keys are replaced.
 */
export type TrustedKeys = string | readonly string[];

/** Public keys by their ids, and roots of certificate chains. */
export type Trust = {
  readonly keys: ReadonlyMap<string, KeyObject>;
  readonly roots: readonly X509Certificate[];
};

const BLOCK = /-----BEGIN ([A-Z ]+)-----[^-]*-----END \1-----/g;

/** Reads PEM texts. Throws TypeError for a text without a public key or certificate, or with a block of another kind. */
export function readTrust(trusted: TrustedKeys): Trust {
  const keys = new Map<string, KeyObject>();
  const roots: X509Certificate[] = [];
  for (const text of typeof trusted === 'string' ? [trusted] : trusted) {
    const blocks = [...text.matchAll(BLOCK)];
    if (blocks.length === 0)
      throw new TypeError('The trusted text holds no PEM; give public keys or certificates.');
    for (const [pem, kind] of blocks) {
      if (kind === 'PUBLIC KEY') keys.set(publicKeyId(pem), loadPublicKey(pem));
      else if (kind === 'CERTIFICATE') roots.push(loadCertificate(pem));
      else throw new TypeError(`A ${String(kind)} cannot be trusted; give public keys or certificates.`);
    }
  }
  return { keys, roots };
}

/** Loads a certificate from PEM or DER. Throws TypeError for anything else. */
export function loadCertificate(source: string | Buffer): X509Certificate {
  try {
    return new X509Certificate(source);
  } catch {
    throw new TypeError('The certificate cannot be read; give an X.509 certificate as PEM.');
  }
}
