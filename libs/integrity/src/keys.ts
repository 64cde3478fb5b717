import type { KeyObject } from 'node:crypto';
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { sha256Hex } from './digest.ts';

/** Signs bytes with one key, which may lie in a file, in an HSM or behind a remote service. */
export type Signer = {
  /** Fingerprint of the public key, as `publicKeyId` gives it. */
  keyId(): string;
  /** ECDSA P-256 with SHA-256 over the bytes, DER encoded. */
  sign(bytes: Uint8Array): Promise<Buffer>;
  /** Its certificates (DER), the signing one first; a signer without them signs by the key method. */
  readonly certificates?: readonly Buffer[];
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

/** The hash that a curve is used with, as the specification of signing has it. */
const HASH_OF_CURVE: Readonly<Record<string, string>> = {
  prime256v1: 'sha256',
  secp384r1: 'sha384',
  secp521r1: 'sha512',
};

const curveOf = (key: KeyObject): string =>
  (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve) || 'none';

/** Whether signatures of this key are taken: ECDSA on P-256, P-384 or P-521. */
export function isSigningCurve(key: KeyObject): boolean {
  return Object.hasOwn(HASH_OF_CURVE, curveOf(key));
}

/** Whether a DER signature over the bytes was made by the key; false also for what is no signature at all. */
export function isSignatureOf(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  const hash = HASH_OF_CURVE[curveOf(key)];
  return hash !== undefined && verifyBytes(hash, bytes, { key, dsaEncoding: 'der' }, signature);
}

/** SHA-256 (hex) of the SubjectPublicKeyInfo PEM: the `publicKey.hint` of a bundle. Throws as loadPublicKey does. */
export function publicKeyId(publicKeyPem: string): string {
  return keyIdOf(loadPublicKey(publicKeyPem));
}

/** The same of a key that is loaded. */
export function keyIdOf(key: KeyObject): string {
  return sha256Hex(key.export({ type: 'spki', format: 'pem' }));
}

/** A signer from a PEM text or the path of a PEM file (read once, now). Throws TypeError unless it is a P-256 key. */
export function createFileSigner(pemOrPath: string): Signer {
  const pem = pemOrPath.includes('-----BEGIN') ? pemOrPath : readFileSync(pemOrPath, 'utf8');
  const key = load(() => createPrivateKey(pem), 'private');
  assertP256(key, 'private');
  const keyId = keyIdOf(createPublicKey(key));
  return {
    keyId: () => keyId,
    sign: (bytes) => signAsync('sha256', bytes, { key, dsaEncoding: 'der' }),
  };
}

/** Loads a public key. Throws TypeError for anything but P-256, P-384 and P-521. */
export function loadPublicKey(publicKeyPem: string): KeyObject {
  const key = load(() => createPublicKey(publicKeyPem), 'public');
  if (isSigningCurve(key)) return key;
  throw new TypeError('The public key is not on the curve P-256, P-384 or P-521.');
}

/** Throws TypeError unless the key can sign: new signatures are made on P-256 only. */
export function assertP256(key: KeyObject, kind: 'public' | 'private'): void {
  if (curveOf(key) === 'prime256v1') return;
  throw new TypeError(`The ${kind} key is not on the curve P-256; make one with generateKeyPair().`);
}

function load(read: () => KeyObject, kind: 'public' | 'private'): KeyObject {
  try {
    return read();
  } catch {
    // The cause is left out on purpose: OpenSSL's text may quote the input.
    throw new TypeError(`The ${kind} key is not a PEM that can be read; give a P-256 key.`);
  }
}
