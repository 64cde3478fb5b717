import type { IssuerKey } from '@millrace/service-kit';
import { ISSUER_KEYS_MAX } from '@millrace/service-kit';
import type { Issuer } from './issuer-config.ts';
import { isSafeAddress } from './issuer-config.ts';

/** A provider that takes longer counts as away (ms). */
const FETCH_TIMEOUT_MS = 3_000;
/** Largest document of a provider (bytes). */
const DOCUMENT_BYTES_MAX = 256 * 1024;
/** RSA keys of fewer bits are not used: 2,048 bits are 342 characters of base64url. */
const RSA_MODULUS_CHARS_MIN = 342;
const CURVES: Readonly<Record<string, readonly string[]>> = {
  EC: ['P-256', 'P-384', 'P-521'],
  OKP: ['Ed25519'],
};
const PUBLIC_MEMBERS = ['kty', 'kid', 'alg', 'n', 'e', 'crv', 'x', 'y'] as const;

/** The signing keys that a provider publishes now. Rejects with a sentence for the log. */
export async function fetchKeys(issuer: Issuer): Promise<IssuerKey[]> {
  const address = issuer.jwksUrl ?? (await discover(issuer.issuer));
  const { keys } = (await readDocument(address)) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new Error(`${address} holds no list of keys`);
  const usable = keys.flatMap(signingKey).slice(0, ISSUER_KEYS_MAX);
  if (usable.length === 0) throw new Error(`${address} holds no key that can be used`);
  return usable;
}

async function discover(issuer: string): Promise<string> {
  const document = (await readDocument(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)) as {
    issuer?: unknown;
    jwks_uri?: unknown;
  };
  if (document.issuer !== issuer)
    throw new Error(`the discovery document is of the issuer '${String(document.issuer).slice(0, 200)}'`);
  if (typeof document.jwks_uri !== 'string' || !isSafeAddress(document.jwks_uri))
    throw new Error('the discovery document names no https address of keys');
  return document.jwks_uri;
}

async function readDocument(address: string): Promise<object> {
  const response = await fetch(address, {
    redirect: 'error',
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
  if (!response.ok || response.body === null) throw new Error(`${address} answered ${response.status}`);
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of response.body) {
    sizeBytes += piece.length;
    if (sizeBytes > DOCUMENT_BYTES_MAX) throw new Error(`${address} is over ${DOCUMENT_BYTES_MAX} bytes`);
    pieces.push(piece);
  }
  const document: unknown = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  if (typeof document !== 'object' || document === null) throw new Error(`${address} is no JSON object`);
  return document;
}

/** The public members of a key that signs and is strong enough; nothing of any other, and never a private member. */
function signingKey(raw: unknown): IssuerKey[] {
  if (typeof raw !== 'object' || raw === null) return [];
  const key = raw as Record<string, unknown>;
  const { kty, kid, use, crv, n } = key;
  if (typeof kid !== 'string' || kid === '' || kid.length > 200) return [];
  if (use !== undefined && use !== 'sig') return [];
  const isUsable =
    kty === 'RSA'
      ? typeof n === 'string' && n.length >= RSA_MODULUS_CHARS_MIN && n.length <= 1_400
      : CURVES[String(kty)]?.includes(String(crv)) === true;
  if (!isUsable) return [];
  const members = PUBLIC_MEMBERS.flatMap((name) =>
    typeof key[name] === 'string' ? [[name, key[name]]] : [],
  );
  return [Object.fromEntries(members) as IssuerKey];
}
