import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { TrustedKeys } from '@millrace/integrity';
import { readTrust } from '@millrace/integrity';
import type { Context } from '../command.ts';
import { textOption, UsageError } from '../command.ts';

/** Options by which a command is told whom to trust. */
export const trustOptions = {
  key: { type: 'string' },
  'public-key': { type: 'string', multiple: true },
  certificate: { type: 'string', multiple: true },
  at: { type: 'string' },
} as const;

/** Help of these options. */
export const TRUST_HELP = `  --public-key FILE   PEM of public keys to trust; may be given several times
  --certificate FILE  PEM of certificates of authorities to trust; may be given several times
  --at TIME           when certificates must be valid (ISO 8601); now unless given
Without a file it trusts keys/registry.pub.pem of the platform on this machine.`;

/** What is trusted and the files that say so. */
export type Trusted = { readonly pem: TrustedKeys; readonly files: readonly string[]; readonly at: Date };

/** Reads what the options name, else the key of the platform on this machine. Throws UsageError. */
export function trustedBy(context: Context): Trusted {
  const list = (name: string): readonly string[] => {
    const value = context.options[name];
    return Array.isArray(value) ? value : typeof value === 'string' ? [value] : [];
  };
  const given = ['key', 'public-key', 'certificate'].flatMap((name) =>
    list(name).map((file) => ({ name, file: resolve(context.cwd, file) })),
  );
  const home = context.connection.home;
  const files =
    given.length > 0
      ? given
      : home === undefined
        ? []
        : [{ name: 'key', file: join(home, 'keys', 'registry.pub.pem') }];
  if (files.length === 0 || (given.length === 0 && files.some(({ file }) => !existsSync(file))))
    throw new UsageError(
      "There is no platform on this machine whose key could be trusted; give the registry's public key with --public-key FILE.",
    );
  const pem = files.map(({ name, file }) => readPem(name, file));
  return { pem, files: files.map(({ file }) => file), at: instant(context) };
}

function readPem(option: string, file: string): string {
  if (!existsSync(file)) throw new UsageError(`--${option} names '${file}', which does not exist.`);
  const text = readFileSync(file, 'utf8');
  try {
    readTrust(text);
  } catch (error) {
    throw new UsageError(`--${option} names '${file}': ${(error as Error).message}`);
  }
  return text;
}

function instant(context: Context): Date {
  const text = textOption(context, 'at');
  const at = text === undefined ? new Date() : new Date(text);
  if (Number.isNaN(at.getTime())) throw new UsageError(`--at takes an ISO 8601 time, not '${String(text)}'.`);
  return at;
}
