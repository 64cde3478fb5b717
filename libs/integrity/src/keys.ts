import type { KeyObject } from 'node:crypto';
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { sha256Hex } from './digest.ts';

/** Signs bytes with one key; another implementation may keep its key in an HSM or a remote service. */
export type Signer = {
  /** Fingerprint of the public key, as `publicKeyId` gives it. */
  keyId(): string;
  /** ECDSA P-256 with SHA-256 over the bytes, DER encoded. */
  sign(bytes: Uint8Array): Promise<Buffer>;
};

/** A P-256 key pair as PEM: PKCS#8 private, SubjectPublicKeyInfo public. */
export type KeyPairPem = { readonly privateKeyPem: string; readonly publicKeyPem: string };

const signAsync = promisify(signBytes);

/** Makes a new P-256 key pair; the caller stores the private part readable by its owner only. */
export function generateKeyPair(): KeyPairPem {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  return { privateKeyPem: privateKey, publicKeyPem: publicKey };
}

/** SHA-256 (hex) of the SubjectPublicKeyInfo PEM: the `publicKey.hint` of a bundle. Throws TypeError unless P-256. */
export function publicKeyId(publicKeyPem: string): string {
  return keyIdOf(p256(() => createPublicKey(publicKeyPem), 'public'));
}

/** A signer from a PEM text or the path of a PEM file (read once, now). Throws TypeError unless it is a P-256 key. */
export function createFileSigner(pemOrPath: string): Signer {
  const pem = pemOrPath.includes('-----BEGIN') ? pemOrPath : readFileSync(pemOrPath, 'utf8');
  const key = p256(() => createPrivateKey(pem), 'private');
  const keyId = keyIdOf(createPublicKey(key));
  return {
    keyId: () => keyId,
    sign: (bytes) => signAsync('sha256', bytes, { key, dsaEncoding: 'der' }),
  };
}

/** Loads a P-256 public key. Throws TypeError for anything else. */
export function loadPublicKey(publicKeyPem: string): KeyObject {
  return p256(() => createPublicKey(publicKeyPem), 'public');
}

function keyIdOf(key: KeyObject): string {
  return sha256Hex(key.export({ type: 'spki', format: 'pem' }));
}

function p256(load: () => KeyObject, kind: 'public' | 'private'): KeyObject {
  let key: KeyObject;
  try {
    key = load();
  } catch {
    // The cause is left out on purpose: OpenSSL's text may quote the input.
    throw new TypeError(`The ${kind} key is not a PEM that can be read; give a P-256 key.`);
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new TypeError(`The ${kind} key is not on the curve P-256; make one with generateKeyPair().`);
  }
  return key;
}
