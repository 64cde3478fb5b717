import { verify as verifyBytes } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import type { Signer } from './keys.ts';
import { loadPublicKey, publicKeyId } from './keys.ts';
import { isObject, malformed, parseObject } from './statement.ts';

/** Media type of the Sigstore bundle version that is written and read here. */
export const BUNDLE_MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
/** DSSE payload type of every in-toto statement. */
export const IN_TOTO_PAYLOAD_TYPE = 'application/vnd.in-toto+json';
/** Largest bundle read, in bytes: a manifest of the most files with the longest paths stays under it. */
export const BUNDLE_BYTES_MAX = 32 * 1024 * 1024;

/** A Sigstore bundle v0.3 with a DSSE envelope signed by a plain public key ("key method"). */
export type SignatureBundle = {
  readonly mediaType: typeof BUNDLE_MEDIA_TYPE;
  readonly verificationMaterial: {
    readonly publicKey: { readonly hint: string };
    readonly tlogEntries: readonly [];
  };
  readonly dsseEnvelope: {
    readonly payload: string;
    readonly payloadType: typeof IN_TOTO_PAYLOAD_TYPE;
    readonly signatures: readonly [{ readonly sig: string; readonly keyid: string }];
  };
};

/** A bundle as an object, its JSON text or the bytes of that text: verification takes any of them. */
export type BundleInput = string | Uint8Array | Readonly<Record<string, unknown>> | SignatureBundle;

/** The P-256 public keys (PEM) that are trusted; several while a key is being replaced. */
export type TrustedKeys = string | readonly string[];

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
    verificationMaterial: { publicKey: { hint: signer.keyId() }, tlogEntries: [] },
    dsseEnvelope: {
      payload: Buffer.from(payload).toString('base64'),
      payloadType: IN_TOTO_PAYLOAD_TYPE,
      signatures: [{ sig: signature.toString('base64'), keyid: '' }],
    },
  };
}

/**
 * Checks a bundle against the trusted keys and returns the signed bytes and the id of the key.
 * Throws `signature_malformed`, `signature_key_unknown` or `signature_invalid`.
 */
export function openBundle(bundle: BundleInput, trusted: TrustedKeys): { payload: Buffer; keyId: string } {
  const { hint, payload, signature } = readBundle(bundle);
  const pem = (typeof trusted === 'string' ? [trusted] : trusted).find((key) => publicKeyId(key) === hint);
  if (pem === undefined) {
    throw new AppError(
      'signature_key_unknown',
      `No trusted key has the id ${hint}; add its public key or sign again.`,
      {
        details: { keyId: hint },
      },
    );
  }
  const signed = preAuthEncoding(IN_TOTO_PAYLOAD_TYPE, payload);
  if (!verifyBytes('sha256', signed, { key: loadPublicKey(pem), dsaEncoding: 'der' }, signature)) {
    throw new AppError(
      'signature_invalid',
      'The signature does not fit its manifest: one of them was changed.',
    );
  }
  return { payload, keyId: hint };
}

function readBundle(bundle: BundleInput): { hint: string; payload: Buffer; signature: Buffer } {
  const value = bundleObject(bundle);
  if (value.mediaType !== BUNDLE_MEDIA_TYPE) throw malformed(`its media type is not ${BUNDLE_MEDIA_TYPE}`);
  const material = value.verificationMaterial;
  const key = isObject(material) ? material.publicKey : undefined;
  const hint = isObject(key) ? key.hint : undefined;
  if (typeof hint !== 'string' || !/^[0-9a-f]{64}$/.test(hint)) throw malformed('it names no public key');
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
    hint,
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
