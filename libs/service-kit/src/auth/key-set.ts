import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import { canonicalJson } from '@millrace/integrity';
import type { Static } from 'typebox';
import Type from 'typebox';
import Value from 'typebox/value';
import { Identities } from './identities.ts';

/** Most keys one set may hold: it is sent whole, and about 300 bytes each keeps it under NATS' bound of 1 MiB. */
export const KEY_SET_KEYS_MAX = 2_000;

/** What every service knows of an API key; never the key itself. */
export const KeyRecord = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  principal: Type.String({ minLength: 1, maxLength: 255 }),
  tenant: Type.String({ minLength: 1, maxLength: 255 }),
  scopes: Type.Array(Type.String(), { maxItems: 64 }),
  expiresAt: Type.Union([Type.String(), Type.Null()]),
  revokedAt: Type.Union([Type.String(), Type.Null()]),
});
export type KeyRecord = Static<typeof KeyRecord>;

export const KeySet = Type.Object({
  issuedAt: Type.String({ minLength: 1 }),
  keys: Type.Array(KeyRecord, { maxItems: KEY_SET_KEYS_MAX }),
  identities: Type.Optional(Identities),
});
export type KeySet = Static<typeof KeySet>;

/** The key set with the gateway's signature (ECDSA P-256, DER, base64) over the canonical JSON of the rest. */
export const SignedKeySet = Type.Object({ ...KeySet.properties, signature: Type.String({ minLength: 1 }) });
export type SignedKeySet = Static<typeof SignedKeySet>;

/** What is looked for with a question for the key set; nothing in particular when empty. */
export const KeySetQuestion = Type.Object({
  /** The identity provider whose keys are to be fetched anew. */
  seek: Type.Optional(Type.String({ maxLength: 500 })),
  /** API keys that somebody sent and that are not in the set of who asks. */
  keys: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: 500 }),
  ),
});
export type KeySetQuestion = Static<typeof KeySetQuestion>;

/** Says that none of the keys is valid, in place of a whole set; it can only lead to a refusal, so it is not signed. */
export const NoNewKeys = Type.Object({ known: Type.Literal(false) }, { additionalProperties: false });

/** Signs a key set with the gateway's private key (PEM). */
export function signKeySet(keySet: KeySet, privateKeyPem: string): SignedKeySet {
  const body = bodyOf(keySet);
  const signature = sign('sha256', Buffer.from(canonicalJson(body)), createPrivateKey(privateKeyPem));
  return { ...body, signature: signature.toString('base64') };
}

/** The key set inside a signed one; throws `signature_invalid` when its shape or signature is wrong. */
export function verifyKeySet(value: unknown, publicKeyPem: string): KeySet {
  if (!Value.Check(SignedKeySet, value)) {
    throw new AppError('signature_invalid', 'The key set does not have the expected shape.');
  }
  const body = bodyOf(value);
  const isGenuine = verify(
    'sha256',
    Buffer.from(canonicalJson(body)),
    createPublicKey(publicKeyPem),
    Buffer.from(value.signature, 'base64'),
  );
  if (!isGenuine)
    throw new AppError('signature_invalid', "The key set was not signed by this platform's gateway.");
  return body;
}

/** What is signed. */
function bodyOf({ issuedAt, keys, identities }: KeySet): KeySet {
  return { issuedAt, keys, ...(identities !== undefined && { identities }) };
}
