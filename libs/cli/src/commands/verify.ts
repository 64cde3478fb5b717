import { createHash } from 'node:crypto';
import { existsSync, lstatSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError, isAppError } from '@millrace/contracts';
import type { IdentityOptions, SignedBy, VersionIdentity } from '@millrace/integrity';
import {
  bundleFiles,
  createManifest,
  openModelBundle,
  packageDigest,
  verifyModel,
  verifyModelBundle,
  verifyPackageStatements,
} from '@millrace/integrity';
import type { BundleParts } from '@millrace/sdk';
import { createDownloads } from '../bundles/download.ts';
import {
  askedVersion,
  IDENTITY_HELP,
  identityBy,
  identityOptions,
  verifyPartsIdentity,
} from '../bundles/identity.ts';
import { statementsOf } from '../bundles/statements.ts';
import type { Trusted } from '../bundles/trusted.ts';
import { TRUST_HELP, trustedBy, trustOptions } from '../bundles/trusted.ts';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytes, fields } from '../format.ts';
import { defaultVersion } from '../model-version.ts';

export const verifyCommand: Command = {
  name: 'verify',
  summary: 'check every file and the signature of a model version or an exported bundle',
  help: `millrace verify MODEL[@VERSION]
millrace verify FOLDER|FILE.tar

Of a version it downloads all files, compares each with its digest, the manifest with the package digest, and checks the
signature (OpenSSF Model Signing) and the signed statements (how it was made, measured and converted) against what you
trust, and that it is the version asked for and no older one in its place. Nothing is taken on the platform's word. Of an
exported bundle it checks the same without the platform, and the history as well; which version a bundle should be of, only
you can say: --expect. Exits 1 at the first difference.
${IDENTITY_HELP}
${TRUST_HELP}`,
  options: { ...trustOptions, ...identityOptions },
  async run(context) {
    const subject = argument(context, 0, 'MODEL[@VERSION] or the path of a bundle');
    const path = bundlePath(context, subject);
    if (path !== undefined) return await verifyPath(context, path, trustedBy(context));
    return await verifyVersion(context, modelArgument(subject), trustedBy(context));
  },
};

/** The path of a bundle, or undefined for the name of a model, which has no slash. */
function bundlePath(context: Context, subject: string): string | undefined {
  const path = resolve(context.cwd, subject);
  const isPath = subject.includes('/') || subject.endsWith('.tar') || subject.startsWith('.');
  if (existsSync(path)) {
    const isBundle = lstatSync(path).isFile() || existsSync(join(path, bundleFiles.about));
    return isPath || isBundle ? path : undefined;
  }
  if (isPath) throw new UsageError(`There is no bundle '${subject}'.`);
  return undefined;
}

const signer = ({ keyId, certificate }: SignedBy, { files }: Trusted) =>
  `${certificate === undefined ? keyId : `${certificate} (${keyId})`} (${files.join(', ')})`;

const named = (identity: VersionIdentity | undefined) =>
  identity === undefined
    ? 'not signed: made before there were statements of it'
    : `version ${identity.ordinal} (${identity.modelVersionId}) of ${identity.tenant}`;

async function verifyPath(context: Context, path: string, trusted: Trusted): Promise<number> {
  return await told(context, { path }, async () => {
    const result = await verifyModelBundle(await openModelBundle(path), trusted.pem, {
      ...identityBy(context),
      at: trusted.at,
    });
    const { history } = result;
    show(context, { verified: true, path, trusted: trusted.files, ...result }, () =>
      [
        'verified',
        '',
        fields([
          ['bundle', path],
          ['model', `${result.model} ${result.version}`],
          ['identity', named(result.identity)],
          ['files', `${result.files}, ${bytes(result.sizeBytes)}, every digest compared`],
          ['package digest', result.packageDigest],
          ['root digest', result.rootDigest],
          ['signed by', signer(result, trusted)],
          ['statements', result.statements.join(', ')],
          ['history', `${history.rows} rows${history.isComplete ? '' : ' (more followed)'} at ${history.at}`],
          ['history head', history.head],
        ]),
      ].join('\n'),
    );
  });
}

async function verifyVersion(
  context: Context,
  { name, version }: ReturnType<typeof modelArgument>,
  trusted: Trusted,
): Promise<number> {
  const label = version ?? (await defaultVersion(context, name));
  const { expected, isIdentityOptional } = identityBy(context);
  const identity = { expected: { ...askedVersion(name, version), ...expected }, isIdentityOptional };
  const again = () => context.client.models.bundleParts(name, label);
  const parts = await again();
  return await told(context, { model: name, version: parts.version }, async () => {
    const result = await verifyParts(
      parts,
      { trusted, identity },
      createDownloads(parts, { again, signal: context.signal }),
    );
    const about = { model: name, version: parts.version, keyFile: trusted.files[0] };
    show(context, { verified: true, ...about, ...result }, () =>
      [
        'verified',
        '',
        fields([
          ['model', `${name} ${parts.version}`],
          ['identity', named(result.identity)],
          ['files', `${result.files}, ${bytes(result.sizeBytes)}, every digest compared`],
          ['package digest', parts.packageDigest],
          ['root digest', result.rootDigest],
          ['signed by', signer(result, trusted)],
          ['statements', result.statements.join(', ')],
        ]),
      ].join('\n'),
    );
  });
}

/** Runs a check and tells its refusal; what only failed on the way is thrown on. */
async function told(context: Context, about: object, check: () => Promise<void>): Promise<number> {
  try {
    await check();
    return exitCodes.ok;
  } catch (error) {
    if (!isAppError(error) || error.status === 503) throw error;
    show(
      context,
      { verified: false, ...about, code: error.code, message: error.message },
      () => `NOT verified: ${error.code}\n${error.message}`,
    );
    return exitCodes.failed;
  }
}

/** Compares what can be downloaded with what was signed; throws the AppError of the first difference. */
async function verifyParts(
  parts: BundleParts,
  { trusted, identity: asked }: { trusted: Trusted; identity: IdentityOptions },
  downloads: ReturnType<typeof createDownloads>,
) {
  const manifest = createManifest(parts.manifest.files);
  if (packageDigest(manifest) !== parts.packageDigest) {
    throw new AppError('manifest_mismatch', 'The manifest does not have the package digest.');
  }
  const identity = verifyPartsIdentity(parts, trusted, asked);
  const entries: { path: string; sha256: string }[] = [];
  let sizeBytes = 0;
  for (const file of manifest.files) {
    const hash = createHash('sha256');
    for await (const chunk of (await downloads.open(file, 0)).content) hash.update(chunk);
    entries.push({ path: file.path, sha256: hash.digest('hex') });
    sizeBytes += file.sizeBytes;
  }
  const signed = verifyModel(parts.signature, trusted.pem, entries, { at: trusted.at });
  const statements = verifyPackageStatements(statementsOf(parts), trusted.pem, {
    packageDigest: parts.packageDigest,
    rootDigest: signed.rootDigest,
    files: entries,
    at: trusted.at,
  });
  return { files: entries.length, sizeBytes, ...signed, statements: Object.keys(statements), identity };
}
