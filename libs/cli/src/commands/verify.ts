import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import { createManifest, packageDigest, verifyModel } from '@millrace/integrity';
import type { BundleParts } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytes, fields } from '../format.ts';

/** A download on which nothing comes for this long is given up. */
const DOWNLOAD_TIMEOUT_MS = 600_000;

export const verifyCommand: Command = {
  name: 'verify',
  summary: 'check every file and the signature of a model version',
  help: `millrace verify MODEL[@VERSION] [--key FILE]

Downloads all files of a version, compares each with its digest, the manifest with the package digest, and checks the
signature (OpenSSF Model Signing) against a public key you trust. Nothing is taken on the platform's word. Exits 1 at
the first difference.
  --key FILE  PEM of the registry's public key; without it keys/registry.pub.pem of the platform on this machine`,
  options: { key: { type: 'string' } },
  async run(context) {
    const { name, version } = modelArgument(argument(context, 0, 'MODEL[@VERSION]'));
    const label = version ?? (await defaultVersion(context, name));
    const trusted = trustedKey(context);
    const parts = await context.client.models.bundleParts(name, label);
    try {
      const result = await verify(parts, trusted.pem);
      show(
        context,
        { verified: true, model: name, version: parts.version, keyFile: trusted.file, ...result },
        () =>
          `verified\n\n${fields([
            ['model', `${name} ${parts.version}`],
            ['files', `${result.files}, ${bytes(result.sizeBytes)}, every digest compared`],
            ['package digest', parts.packageDigest],
            ['root digest', result.rootDigest],
            ['signed by key', `${result.keyId} (${trusted.file})`],
          ])}`,
      );
      return exitCodes.ok;
    } catch (error) {
      if (!isAppError(error) || error.status === 503) throw error;
      show(
        context,
        { verified: false, model: name, version: parts.version, code: error.code, message: error.message },
        () => `NOT verified: ${error.code}\n${error.message}`,
      );
      return exitCodes.failed;
    }
  },
};

async function defaultVersion(context: Context, name: string): Promise<string> {
  const { serving, latest } = await context.client.models.get(name);
  const version = serving?.version ?? latest?.version;
  if (version === undefined) throw new AppError('version_not_found', `The model '${name}' has no version.`);
  return version;
}

function trustedKey(context: Context): { pem: string; file: string } {
  const given = textOption(context, 'key');
  const { connection } = context;
  const own = connection.home === undefined ? undefined : join(connection.home, 'keys', 'registry.pub.pem');
  const file = given ?? own;
  if (file === undefined || !existsSync(file)) {
    throw new UsageError(
      given === undefined
        ? "There is no platform on this machine whose key could be trusted; give the registry's public key with --key FILE."
        : `--key names '${given}', which does not exist.`,
    );
  }
  return { pem: readFileSync(file, 'utf8'), file };
}

/** Compares what can be downloaded with what was signed; throws the AppError of the first difference. */
async function verify(parts: BundleParts, publicKeyPem: string) {
  const manifest = createManifest(parts.manifest.files);
  if (packageDigest(manifest) !== parts.packageDigest) {
    throw new AppError('manifest_mismatch', 'The manifest does not have the package digest.');
  }
  const entries: { path: string; sha256: string }[] = [];
  let sizeBytes = 0;
  for (const file of parts.files) {
    entries.push({ path: file.path, sha256: await digestOf(file) });
    sizeBytes += file.sizeBytes;
  }
  const signed = verifyModel(parts.signature, publicKeyPem, entries);
  return { files: entries.length, sizeBytes, rootDigest: signed.rootDigest, keyId: signed.keyId };
}

async function digestOf(file: ArtifactRef & { url: string }): Promise<string> {
  const response = await fetch(file.url, { signal: AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS) }).catch(
    (cause: unknown) => {
      throw new AppError('storage_unavailable', `The object store does not answer for ${file.path}.`, {
        cause,
      });
    },
  );
  if (response.status === 404)
    throw new AppError('artifact_missing', `The object store has no ${file.path}.`);
  if (!response.ok || response.body === null) {
    throw new AppError(
      'storage_unavailable',
      `The object store answered ${response.status} for ${file.path}.`,
    );
  }
  const hash = createHash('sha256');
  for await (const chunk of response.body) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
