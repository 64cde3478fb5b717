import { createHash } from 'node:crypto';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { artifactPathFault } from '../artifact-path.ts';
import type { SignedBy, VerifyOptions } from '../bundle.ts';
import { isSha256 } from '../digest.ts';
import { verifyModel } from '../model-signature.ts';
import type { PackageManifest } from '../package-manifest.ts';
import { createManifest, PACKAGE_FILES_MAX, packageDigest } from '../package-manifest.ts';
import type { PackageStatements, StatementName } from '../package-statements.ts';
import { verifyPackageStatements } from '../package-statements.ts';
import { isObject, parseObject } from '../statement.ts';
import type { TrustedKeys } from '../trust.ts';
import type { VersionIdentity } from '../version-identity.ts';
import type { IdentityOptions } from './bundle-identity.ts';
import { verifyBundleIdentity } from './bundle-identity.ts';
import type { BundleSource } from './bundle-source.ts';
import type { HistoryClaim } from './history-proof.ts';
import { readChainRows, verifyHistoryProof } from './history-proof.ts';
import type { BundleAbout } from './layout.ts';
import {
  BUNDLE_DOCUMENT_BYTES_MAX,
  BUNDLE_FORMAT,
  bundleFiles,
  invalidBundle,
  MODEL_FOLDER,
} from './layout.ts';

/** What was found good, with all that it holds beside the package. */
export type OpenedBundle = {
  readonly summary: VerifiedBundle;
  readonly manifest: PackageManifest;
  readonly statements: PackageStatements;
  /** The files beside the package, by their names in the bundle. */
  readonly documents: ReadonlyMap<string, Buffer>;
};

/** What was found good. */
export type VerifiedBundle = SignedBy & {
  readonly model: string;
  readonly version: string;
  readonly packageDigest: string;
  readonly rootDigest: string;
  readonly files: number;
  readonly sizeBytes: number;
  /** Signed statements that were checked beside the signature of the model. */
  readonly statements: readonly StatementName[];
  readonly history: HistoryClaim;
  /** Which version it is, as signed when that was registered; undefined for a bundle of an older release. */
  readonly identity: VersionIdentity | undefined;
};

type BundleOptions = VerifyOptions & IdentityOptions & { onBytes?: (sizeBytes: number) => void };

type Found = {
  documents: Map<string, Buffer>;
  entries: Pick<ArtifactRef, 'path' | 'sha256' | 'sizeBytes'>[];
};

const DOCUMENTS: ReadonlySet<string> = new Set(Object.values(bundleFiles));

/**
 * Checks a bundle as a whole, with nothing but the bundle and what is trusted: no file too many or too few, every
 * digest, the signature of the model, every statement, and the identity and history that bind the version's names to the
 * package. Throws `invalid_bundle`, `invalid_artifact_path`, `log_chain_broken`, `identity_missing` and what verifyModel
 * throws.
 */
export async function verifyModelBundle(
  source: BundleSource,
  trusted: TrustedKeys,
  options: BundleOptions = {},
): Promise<VerifiedBundle> {
  return (await openVerifiedBundle(source, trusted, options)).summary;
}

/** The same, and gives what the bundle holds: its package may be read a second time by these digests. */
export async function openVerifiedBundle(
  source: BundleSource,
  trusted: TrustedKeys,
  options: BundleOptions = {},
): Promise<OpenedBundle> {
  const found = await readAll(source, options.onBytes);
  const about = readAbout(document(found, 'about'));
  const manifest = readManifest(document(found, 'manifest'));
  const signed = verifyModel(document(found, 'signature'), trusted, found.entries, options);
  if (packageDigest({ files: found.entries }) !== about.packageDigest)
    throw mismatch('its files do not have the package digest that it names');
  if (packageDigest(manifest) !== about.packageDigest)
    throw mismatch('its manifest does not have the package digest that it names');
  const conversion = found.documents.get(bundleFiles.conversion);
  const statements = verifyPackageStatements(
    {
      provenance: document(found, 'provenance'),
      meta: document(found, 'meta'),
      ...(conversion !== undefined && { conversion }),
    },
    trusted,
    {
      ...options,
      packageDigest: about.packageDigest,
      rootDigest: signed.rootDigest,
      files: found.entries,
    },
  );
  const history = verifyHistoryProof(document(found, 'historyStatement'), trusted, {
    ...options,
    rows: readChainRows(parseObject(document(found, 'history'), 'history').rows),
    packageDigest: about.packageDigest,
  });
  if (history.model !== about.model || history.version !== about.version)
    throw mismatch(
      `it calls itself ${about.model} ${about.version} and was signed as ${history.model} ${history.version}`,
    );
  const identity = verifyBundleIdentity(
    found.documents.get(bundleFiles.identity),
    trusted,
    { ...about, files: manifest.files, history },
    options,
  );
  const summary = {
    keyId: signed.keyId,
    ...(signed.certificate !== undefined && { certificate: signed.certificate }),
    model: about.model,
    version: about.version,
    packageDigest: about.packageDigest,
    rootDigest: signed.rootDigest,
    files: found.entries.length,
    sizeBytes: found.entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    statements: Object.keys(statements) as StatementName[],
    history,
    identity,
  };
  return { summary, manifest, statements, documents: found.documents };
}

/** Hashes the package as it streams by and keeps the small files beside it. */
async function readAll(source: BundleSource, onBytes?: (sizeBytes: number) => void): Promise<Found> {
  const found: Found = { documents: new Map(), entries: [] };
  const seen = new Set<string>();
  await source(async (path, sizeBytes, content) => {
    assertName(path, seen);
    if (path.startsWith(MODEL_FOLDER)) {
      if (found.entries.length >= PACKAGE_FILES_MAX)
        throw invalidBundle(`has more than ${PACKAGE_FILES_MAX} files in ${MODEL_FOLDER}`);
      const hash = createHash('sha256');
      let count = 0;
      for await (const chunk of content) {
        hash.update(chunk);
        count += chunk.length;
        onBytes?.(chunk.length);
      }
      found.entries.push({
        path: path.slice(MODEL_FOLDER.length),
        sha256: hash.digest('hex'),
        sizeBytes: count,
      });
      return;
    }
    if (!DOCUMENTS.has(path))
      throw invalidBundle(`has the unknown file ${JSON.stringify(path.slice(0, 200))}`);
    found.documents.set(path, await readDocument(path, sizeBytes, content));
  });
  return found;
}

/** Names must stay apart on every file system: also on those that fold case or normalise Unicode. */
function assertName(path: string, seen: Set<string>): void {
  const shown = JSON.stringify(path.slice(0, 200));
  const fault = artifactPathFault(path.startsWith(MODEL_FOLDER) ? path.slice(MODEL_FOLDER.length) : path);
  if (fault !== undefined)
    throw new AppError('invalid_artifact_path', `The path ${shown} in the bundle ${fault}.`);
  const folded = path.normalize('NFC').toLowerCase();
  if (seen.has(folded))
    throw new AppError(
      'invalid_artifact_path',
      `The path ${shown} occurs twice in the bundle, or differs from another in case or Unicode form only.`,
    );
  seen.add(folded);
}

async function readDocument(
  path: string,
  sizeBytes: number,
  content: AsyncIterable<Buffer>,
): Promise<Buffer> {
  const tooLarge = () => invalidBundle(`has a ${path} of over ${BUNDLE_DOCUMENT_BYTES_MAX} bytes`);
  if (sizeBytes > BUNDLE_DOCUMENT_BYTES_MAX) throw tooLarge();
  const chunks: Buffer[] = [];
  let left = BUNDLE_DOCUMENT_BYTES_MAX;
  for await (const chunk of content) {
    left -= chunk.length;
    // a file may grow while it is read
    if (left < 0) throw tooLarge();
    // copied: the piece's memory is read into again
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

function document({ documents }: Found, name: keyof typeof bundleFiles): Buffer {
  const bytes = documents.get(bundleFiles[name]);
  if (bytes === undefined) throw invalidBundle(`lacks ${bundleFiles[name]}`);
  return bytes;
}

function readJson(bytes: Buffer, name: string): Record<string, unknown> {
  try {
    return parseObject(bytes, name);
  } catch (cause) {
    throw invalidBundle(`has a ${name} that is no JSON object`, cause);
  }
}

function readAbout(bytes: Buffer): BundleAbout {
  const value = readJson(bytes, bundleFiles.about);
  const { format, model, version, packageDigest: digest } = value;
  if (format !== BUNDLE_FORMAT) throw invalidBundle(`is not of the format ${BUNDLE_FORMAT}`);
  if (typeof model !== 'string' || typeof version !== 'string' || !isSha256(digest))
    throw invalidBundle(`has a ${bundleFiles.about} that lacks model, version or packageDigest`);
  return value as unknown as BundleAbout;
}

function readManifest(bytes: Buffer) {
  const { files } = readJson(bytes, bundleFiles.manifest);
  const isRef = (file: unknown) =>
    isObject(file) && typeof file.path === 'string' && typeof file.sizeBytes === 'number';
  if (!Array.isArray(files) || !files.every(isRef))
    throw invalidBundle(`has a ${bundleFiles.manifest} that lists no files`);
  try {
    return createManifest(files as ArtifactRef[]);
  } catch (cause) {
    throw invalidBundle(`has a ${bundleFiles.manifest} that is not one: ${(cause as Error).message}`, cause);
  }
}

function mismatch(why: string): AppError {
  return new AppError('manifest_mismatch', `The bundle contradicts itself: ${why}.`);
}
