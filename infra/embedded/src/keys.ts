import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createOnce } from './secrets.ts';

/** Files of the platform's own keys (P-256, PEM, mode 0600) and its first admin token. */
export type KeyFiles = {
  registryPrivate: string;
  registryPublic: string;
  gatewayPrivate: string;
  gatewayPublic: string;
  token: string;
};

const TOKEN_BYTES = 32;

/** Makes the keys that are missing; existing ones stay, so signatures made earlier still verify. */
export function ensureKeys(keysFolder: string): KeyFiles {
  const files: KeyFiles = {
    registryPrivate: join(keysFolder, 'registry.pem'),
    registryPublic: join(keysFolder, 'registry.pub.pem'),
    gatewayPrivate: join(keysFolder, 'gateway.pem'),
    gatewayPublic: join(keysFolder, 'gateway.pub.pem'),
    token: join(keysFolder, 'token'),
  };
  ensurePair(files.registryPrivate, files.registryPublic);
  ensurePair(files.gatewayPrivate, files.gatewayPublic);
  createOnce(files.token, `mlr_bootstrap_${randomBytes(TOKEN_BYTES).toString('base64url')}\n`);
  return files;
}

function ensurePair(privateFile: string, publicFile: string): void {
  const made = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  createOnce(privateFile, made.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  // The public half always comes from the private file, so the two cannot part.
  const publicKey = createPublicKey(readFileSync(privateFile, 'utf8'));
  createOnce(publicFile, publicKey.export({ type: 'spki', format: 'pem' }).toString());
}
