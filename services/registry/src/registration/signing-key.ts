import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Signer } from '@millrace/integrity';
import { createCommandSigner, createFileSigner, readTrust, withCertificates } from '@millrace/integrity';
import type { SigningKey } from './sign.ts';

/** Where the key is and who else is trusted, as the configuration names it. */
export type SigningSettings = {
  readonly signingKeyFile?: string | undefined;
  readonly signingKey?: string | undefined;
  readonly signingCommand?: string | undefined;
  readonly signingCommandKeyFile?: string | undefined;
  readonly signingCertificateFile?: string | undefined;
  readonly signingPublicKeyFile?: string | undefined;
};

/** Opens the one source of the key that is configured. Throws TypeError for none, several, or one that cannot be used. */
export function openSigningKey(settings: SigningSettings): SigningKey {
  const { signer, publicKeyPem } = openKey(settings);
  const chain = settings.signingCertificateFile;
  const chainPem = chain === undefined ? '' : readFileSync(chain, 'utf8');
  const trusted = [publicKeyPem];
  if (settings.signingPublicKeyFile !== undefined)
    trusted.push(readFileSync(settings.signingPublicKeyFile, 'utf8'));
  readTrust(trusted);
  return {
    signer: chain === undefined ? signer : withCertificates(signer, chainPem),
    publicKeyPem: [publicKeyPem, chainPem].join(''),
    trustedPem: trusted.join('\n'),
  };
}

function openKey(settings: SigningSettings): { signer: Signer; publicKeyPem: string } {
  const { signingKeyFile, signingKey, signingCommand } = settings;
  const given = [signingKeyFile, signingKey, signingCommand].filter((source) => source !== undefined);
  if (given.length !== 1) {
    throw new TypeError(
      'Set exactly one of MILLRACE_SIGNING_KEY_FILE, MILLRACE_SIGNING_KEY and MILLRACE_SIGNING_COMMAND.',
    );
  }
  if (signingCommand !== undefined) return openCommand(signingCommand, settings.signingCommandKeyFile);
  const pem = signingKey ?? readFileSync(signingKeyFile ?? '', 'utf8');
  const publicKeyPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();
  return { signer: createFileSigner(pem), publicKeyPem };
}

function openCommand(text: string, keyFile: string | undefined): { signer: Signer; publicKeyPem: string } {
  const [program, ...args] = readCommand(text);
  if (program === undefined || keyFile === undefined) {
    throw new TypeError(
      'MILLRACE_SIGNING_COMMAND takes a JSON array like ["pkcs11-sign","--slot","0"], and MILLRACE_SIGNING_COMMAND_KEY_FILE the public key it signs with.',
    );
  }
  const publicKeyPem = readFileSync(keyFile, 'utf8');
  return { signer: createCommandSigner({ program, args, publicKeyPem }), publicKeyPem };
}

function readCommand(text: string): string[] {
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value;
  } catch {
    // told with the other faults
  }
  return [];
}
