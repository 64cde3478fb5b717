import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Bytes of a signing secret, as Standard Webhooks recommends at least 24. */
const SECRET_BYTES = 32;

/** Encrypts signing secrets at rest; each belongs to one webhook and opens for no other. */
export type SecretBox = {
  seal(secret: string, webhookId: string): string;
  /** Throws when the secret was sealed with another key, for another webhook, or was changed. */
  open(sealed: string, webhookId: string): string;
};

/** A box whose key follows from the gateway's private key: who has the database alone reads no secret. */
export function createSecretBox(privateKeyPem: string): SecretBox {
  const key = Buffer.from(hkdfSync('sha256', privateKeyPem.trim(), '', 'millrace webhook secrets', 32));
  return {
    seal(secret, webhookId) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv(CIPHER, key, iv).setAAD(Buffer.from(webhookId));
      const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64');
    },
    open(sealed, webhookId) {
      const bytes = Buffer.from(sealed, 'base64');
      const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES), {
        authTagLength: TAG_BYTES,
      })
        .setAAD(Buffer.from(webhookId))
        .setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
      const text = decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES));
      return Buffer.concat([text, decipher.final()]).toString('utf8');
    },
  };
}

/** A new signing secret in the form of Standard Webhooks: `whsec_` and base64. */
export function newSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
}
