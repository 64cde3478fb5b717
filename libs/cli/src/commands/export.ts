import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { AppError } from '@millrace/contracts';
import type { BundleAbout } from '@millrace/integrity';
import {
  BUNDLE_FORMAT,
  bundleFiles,
  canonicalJson,
  createManifest,
  MODEL_FOLDER,
  packageDigest,
} from '@millrace/integrity';
import type { BundleParts } from '@millrace/sdk';
import type { BundleWriter, OnBytes } from '../bundles/bundle-writer.ts';
import { createFolderWriter, createTarWriter } from '../bundles/bundle-writer.ts';
import { createDownloads } from '../bundles/download.ts';
import { statementsOf } from '../bundles/statements.ts';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytes, fields } from '../format.ts';
import { defaultVersion } from '../model-version.ts';

/** How often progress is drawn (ms). */
const REDRAW_MS = 200;

export const exportCommand: Command = {
  name: 'export',
  summary: 'write a model version with all proofs into a folder or .tar',
  help: `millrace export MODEL[@VERSION] --out FOLDER|FILE.tar

Writes everything that is needed to verify a version without the platform: the files of its package (model/), its
signature (model.sig, OpenSSF Model Signing), signed provenance, conversion and measurements, and the signed identity and
history that bind its tenant, name, label and ordinal to these bytes. Every digest is compared while it is written, and the bundle appears only when it is whole. A folder that
broke off is gone on with. Check it anywhere with: millrace verify BUNDLE --public-key FILE
or, without Millrace: model_signing verify key BUNDLE/model --signature BUNDLE/model.sig --public_key FILE
  --out PATH  folder or .tar to write; must not exist`,
  options: { out: { type: 'string', short: 'o' } },
  async run(context) {
    const { name, version } = modelArgument(argument(context, 0, 'MODEL[@VERSION]'));
    const out = textOption(context, 'out');
    if (out === undefined) throw new UsageError('--out is missing: a folder or a file that ends with .tar.');
    const target = resolve(context.cwd, out);
    if (existsSync(target)) throw new UsageError(`'${out}' exists already; name another place.`);
    const label = version ?? (await defaultVersion(context, name));
    const again = () => context.client.models.bundleParts(name, label);
    const parts = await again();
    const sizeBytes = parts.manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    const progress = createProgress(context, sizeBytes);
    const open = target.endsWith('.tar') ? createTarWriter : createFolderWriter;
    const writer = await open(target, progress);
    try {
      await writeBundle(writer, parts, createDownloads(parts, { again, signal: context.signal }));
      await writer.finish();
    } catch (error) {
      await writer.abandon();
      throw error;
    } finally {
      if (context.isTerminal) context.redraw('');
    }
    const { model, packageDigest: digest } = parts;
    const result = { model, version: parts.version, out: target, packageDigest: digest };
    const files = parts.manifest.files.length;
    show(context, { ...result, files, sizeBytes }, () =>
      fields([
        ['exported', `${model} ${parts.version}`],
        ['to', target],
        ['files', `${files}, ${bytes(sizeBytes)}`],
        ['package digest', digest],
      ]),
    );
    return exitCodes.ok;
  },
};

async function writeBundle(
  writer: BundleWriter,
  parts: BundleParts,
  downloads: ReturnType<typeof createDownloads>,
): Promise<void> {
  const manifest = createManifest(parts.manifest.files);
  if (packageDigest(manifest) !== parts.packageDigest)
    throw new AppError('manifest_mismatch', 'The manifest does not have the package digest.');
  assertDistinct(manifest.files.map(({ path }) => path));
  const about: BundleAbout = {
    format: BUNDLE_FORMAT,
    model: parts.model,
    version: parts.version,
    packageDigest: parts.packageDigest,
    exportedAt: new Date().toISOString(),
  };
  const { provenance, meta, conversion } = statementsOf(parts);
  const documents: [keyof typeof bundleFiles, string][] = [
    ['about', `${JSON.stringify(about, null, 2)}\n`],
    // not a byte more: the SHA-256 of this file is the package digest
    ['manifest', canonicalJson({ files: manifest.files })],
    ['signature', JSON.stringify(parts.signature)],
    ['provenance', JSON.stringify(provenance)],
    ['meta', JSON.stringify(meta)],
    ...(conversion === undefined
      ? []
      : [['conversion', JSON.stringify(conversion)] as [keyof typeof bundleFiles, string]]),
    ...(parts.identity === null
      ? []
      : [['identity', JSON.stringify(parts.identity)] as [keyof typeof bundleFiles, string]]),
    ['history', JSON.stringify({ rows: parts.history.rows })],
    ['historyStatement', JSON.stringify(parts.history.statement)],
    ['trust', parts.publicKeyPem],
  ];
  for (const [name, text] of documents) await writer.document(bundleFiles[name], Buffer.from(text));
  for (const file of manifest.files) await writer.file(`${MODEL_FOLDER}${file.path}`, file, downloads);
}

/** Two names that some file systems take for one would lose a file there. */
function assertDistinct(paths: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const path of paths) {
    const folded = path.normalize('NFC').toLowerCase();
    const other = seen.get(folded);
    if (other !== undefined)
      throw new AppError(
        'invalid_artifact_path',
        `${JSON.stringify(path)} and ${JSON.stringify(other)} are one name on many file systems; such a version cannot be exported.`,
      );
    seen.set(folded, path);
  }
}

function createProgress(context: Context, totalBytes: number): OnBytes {
  let done = 0;
  let drawnAt = 0;
  return (sizeBytes) => {
    done += sizeBytes;
    if (!context.isTerminal || Date.now() - drawnAt < REDRAW_MS) return;
    drawnAt = Date.now();
    context.redraw(`${bytes(done)} of ${bytes(totalBytes)}`);
  };
}
