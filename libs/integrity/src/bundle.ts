import type { KeyObject } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import { CERTIFICATES_MAX, verifyCertificateChain } from './certificate-chain.ts';
import type { Signer } from './keys.ts';
import { isSignatureOf, keyIdOf } from './keys.ts';
import { isObject, malformed, parseObject } from './statement.ts';
import type { Trust, TrustedKeys } from './trust.ts';
import { readTrust } from './trust.ts';

/** Media type of the Sigstore bundle version that is written and read here. */
export const BUNDLE_MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
/** DSSE payload type of every in-toto statement. */
export const IN_TOTO_PAYLOAD_TYPE = 'application/vnd.in-toto+json';
/** Largest bundle read, in bytes: a manifest of the most files with the longest paths stays under it. */
export const BUNDLE_BYTES_MAX = 32 * 1024 * 1024;

/** A Sigstore bundle v0.3 with a DSSE envelope, signed by a plain public key or by a certificate of an own authority. */
export type SignatureBundle = {
  readonly mediaType: typeof BUNDLE_MEDIA_TYPE;
  readonly verificationMaterial: (
    | { readonly publicKey: { readonly hint: string } }
    | { readonly x509CertificateChain: { readonly certificates: readonly { readonly rawBytes: string }[] } }
  ) & { readonly tlogEntries: readonly [] };
  readonly dsseEnvelope: {
    readonly payload: string;
    readonly payloadType: typeof IN_TOTO_PAYLOAD_TYPE;
    readonly signatures: readonly [{ readonly sig: string; readonly keyid: string }];
  };
};

/** A bundle as an object, its JSON text or the bytes of that text: verification takes any of them. */
export type BundleInput = string | Uint8Array | Readonly<Record<string, unknown>> | SignatureBundle;

/** Who signed: the id of the public key and, by the certificate method, the subject of its certificate. */
export type SignedBy = { readonly keyId: string; readonly certificate?: string };

/** `at` is the instant at which certificates must be valid; now unless given. */
export type VerifyOptions = { readonly at?: Date };

/** DSSE pre-authentication encoding v1: what the signature is computed over. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `;
  return Buffer.concat([Buffer.from(head, 'utf8'), payload]);
}

/** Signs the bytes of an in-toto statement and wraps them as a bundle. */
export async function signBundle(payload: Uint8Array, signer: Signer): Promise<SignatureBundle> {
  const signature = await signer.sign(preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload));
  return {
    mediaType: BUNDLE_MEDIA_TYPE,
    verificationMaterial: { ...materialOf(signer), tlogEntries: [] },
    dsseEnvelope: {
      payload: Buffer.from(payload).toString('base64'),
      payloadType: IN_TOTO_PAYLOAD_TYPE,
      signatures: [{ sig: signature.toString('base64'), keyid: '' }],
    },
  };
}

function materialOf({ keyId, certificates }: Signer) {
  if (certificates === undefined) return { publicKey: { hint: keyId() } };
  return {
    x509CertificateChain: {
      certificates: certificates.map((der) => ({ rawBytes: der.toString('base64') })),
    },
  };
}

/**
 * Checks a bundle against what is trusted and returns the signed bytes and who signed. Throws `signature_malformed`,
 * `signature_key_unknown`, `certificate_untrusted`, `certificate_invalid` or `signature_invalid`.
 */
export function openBundle(
  bundle: BundleInput,
  trusted: TrustedKeys,
  { at = new Date() }: VerifyOptions = {},
): { payload: Buffer } & SignedBy {
  const { material, payload, signature } = readBundle(bundle);
  const trust = readTrust(trusted);
  const { key, ...signer } =
    'hint' in material ? keyOfHint(material.hint, trust) : keyOfChain(material.chain, trust, at);
  const signed = preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload);
  if (!isSignatureOf(key, signed, signature)) {
    throw new AppError(
      'signature_invalid',
      'The signature does not fit its manifest: one of them was changed.',
    );
  }
  return { payload, ...signer };
}

function keyOfHint(hint: string, { keys }: Trust): SignedBy & { key: KeyObject } {
  const key = keys.get(hint);
  if (key !== undefined) return { key, keyId: hint };
  throw new AppError(
    'signature_key_unknown',
    `No trusted key has the id ${hint}; add its public key or sign again.`,
    { details: { keyId: hint } },
  );
}

function keyOfChain(chain: readonly Buffer[], { roots }: Trust, at: Date): SignedBy & { key: KeyObject } {
  const { publicKey, subject } = verifyCertificateChain(chain, roots, at);
  return { key: publicKey, keyId: keyIdOf(publicKey), certificate: subject };
}

type Material = { hint: string } | { chain: Buffer[] };

function readMaterial(value: unknown): Material {
  if (!isObject(value)) throw malformed('it names no public key');
  const { publicKey, x509CertificateChain: chain, certificate } = value;
  if ([publicKey, chain, certificate].filter((one) => one !== undefined).length !== 1)
    throw malformed('it does not name exactly one public key or certificate chain');
  if (isObject(publicKey)) {
    const { hint } = publicKey;
    if (typeof hint === 'string' && /^[0-9a-f]{64}$/.test(hint)) return { hint };
  }
  const list = isObject(chain) ? chain.certificates : undefined;
  if (!Array.isArray(list) || list.length === 0 || list.length > CERTIFICATES_MAX)
    throw malformed('it names no public key and no certificate chain');
  return { chain: list.map((one) => base64(isObject(one) ? one.rawBytes : undefined, 'certificate')) };
}

function readBundle(bundle: BundleInput): { material: Material; payload: Buffer; signature: Buffer } {
  const value = bundleObject(bundle);
  if (value.mediaType !== BUNDLE_MEDIA_TYPE) throw malformed(`its media type is not ${BUNDLE_MEDIA_TYPE}`);
  const material = readMaterial(value.verificationMaterial);
  if (value.messageSignature !== undefined) throw malformed('it holds a second kind of signature');
  const envelope = value.dsseEnvelope;
  if (!isObject(envelope)) throw malformed('it has no DSSE envelope');
  if (envelope.payloadType !== IN_TOTO_PAYLOAD_TYPE)
    throw malformed(`its payload is not ${IN_TOTO_PAYLOAD_TYPE}`);
  const signatures = envelope.signatures;
  if (!Array.isArray(signatures) || signatures.length !== 1 || !isObject(signatures[0])) {
    throw malformed('it does not hold exactly one signature');
  }
  return {
    material,
    payload: base64(envelope.payload, 'payload'),
    signature: base64(signatures[0].sig, 'signature'),
  };
}

function bundleObject(bundle: BundleInput): Record<string, unknown> {
  if (typeof bundle !== 'string' && !(bundle instanceof Uint8Array)) {
    if (!isObject(bundle)) throw malformed('it is not a JSON object');
    return bundle;
  }
  const bytes = typeof bundle === 'string' ? Buffer.from(bundle, 'utf8') : bundle;
  if (bytes.byteLength > BUNDLE_BYTES_MAX) throw malformed(`it is over ${BUNDLE_BYTES_MAX} bytes`);
  return parseObject(bytes, 'bundle');
}

function base64(value: unknown, what: string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0);
  if (bytes.byteLength === 0 || bytes.toString('base64') !== value)
    throw malformed(`its ${what} is not base64`);
  return bytes;
}
