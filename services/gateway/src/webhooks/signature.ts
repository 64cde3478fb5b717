import { createHmac } from 'node:crypto';

const SECRET_PREFIX = 'whsec_';

/** The headers of Standard Webhooks: id, time (seconds) and one HMAC-SHA256 for each secret that is in use. */
export function signedHeaders(
  message: { id: string; body: Uint8Array; at: Date },
  secrets: readonly string[],
): Record<string, string> {
  const timestamp = String(Math.floor(message.at.getTime() / 1_000));
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64');
    const hmac = createHmac('sha256', key).update(`${message.id}.${timestamp}.`).update(message.body);
    return `v1,${hmac.digest('base64')}`;
  });
  return {
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  };
}
