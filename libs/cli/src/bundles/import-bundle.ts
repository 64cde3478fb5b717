import { openAsBlob, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { IdentityOptions, VerifiedBundle } from '@millrace/integrity';
import { openModelBundle, tarEnd, tarFileHeader, tarPadding, verifyModelBundle } from '@millrace/integrity';
import type { ImportedBundle } from '@millrace/sdk';
import type { Context } from '../command.ts';
import { modelArgument, textOption } from '../command.ts';
import type { Trusted } from './trusted.ts';

/** A bundle and what became of it. */
export type TakenBundle = { readonly bundle: VerifiedBundle; readonly imported: ImportedBundle };

/**
 * Verifies a bundle here, so that a bad one is not sent at all, and has the platform verify and register it. Throws what
 * either finds.
 */
export async function importBundle(
  context: Context,
  path: string,
  { trusted, identity }: { trusted: Trusted; identity: IdentityOptions },
): Promise<TakenBundle> {
  const bundle = await verifyModelBundle(await openModelBundle(path), trusted.pem, {
    ...identity,
    at: trusted.at,
  });
  const as = textOption(context, 'as');
  const asked = as === undefined ? { name: bundle.model, version: bundle.version } : modelArgument(as);
  const { name, version = bundle.version } = asked;
  const tar = statSync(path).isDirectory() ? await tarOf(path) : await openAsBlob(path);
  const trust = [trusted.pem].flat().join('\n');
  const imported = await context.client.bundles.import(tar, {
    ...{ model: name, version, trust },
    allowMissingIdentity: identity.isIdentityOptional === true,
    signal: context.signal,
  });
  return { bundle, imported };
}

/** A folder as the bytes of a tar, of which files are read as they are sent. */
async function tarOf(folder: string): Promise<Blob> {
  const parts: (Blob | Uint8Array<ArrayBuffer>)[] = [];
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  for (const name of names) {
    const file = join(folder, name);
    if (!statSync(file).isFile()) continue;
    const content = await openAsBlob(file);
    parts.push(Uint8Array.from(tarFileHeader(name, content.size)), content);
    parts.push(Uint8Array.from(tarPadding(content.size)));
  }
  return new Blob([...parts, Uint8Array.from(tarEnd())]);
}
