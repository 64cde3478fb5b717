import { createHash } from 'node:crypto';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { artifactPathFault, compareCodePoints, compareComponents } from './artifact-path.ts';
import { signStatement, verifyStatement } from './attestation.ts';
import type { BundleInput, SignatureBundle, SignedBy, VerifyOptions } from './bundle.ts';
import { isSha256 } from './digest.ts';
import type { Signer } from './keys.ts';
import type { PackageManifest } from './package-manifest.ts';
import { createManifest, PACKAGE_FILES_MAX } from './package-manifest.ts';
import { isObject, malformed, STATEMENT_TYPE } from './statement.ts';
import type { TrustedKeys } from './trust.ts';

/** Predicate type of OpenSSF Model Signing v1.0. */
export const MODEL_SIGNATURE_TYPE = 'https://model_signing/signature/v1.0';

/** A file as it is found: its path in the package and the SHA-256 of the bytes that are there. */
export type FileEntry = Pick<ArtifactRef, 'path' | 'sha256'>;

/** What a valid model signature says. */
export type VerifiedModel = SignedBy & { readonly rootDigest: string; readonly name: string };

type Resource = { readonly name: string; readonly digest: string };

/** Root digest of a model: SHA-256 over the raw file digests, one after the other, in code point order of the paths. */
export function rootDigest(manifest: PackageManifest): string {
  return rootOf(
    createManifest(manifest.files).files.map((file) => ({ name: file.path, digest: file.sha256 })),
  );
}

/**
 * Signs a package by OpenSSF Model Signing v1.0 (ECDSA P-256; by certificate where the signer has one); `name` is
 * informative.
 * Throws as createManifest does.
 */
export function signModel(manifest: PackageManifest, signer: Signer, name: string): Promise<SignatureBundle> {
  const { files } = createManifest(manifest.files);
  const statement = {
    _type: STATEMENT_TYPE,
    subject: [{ name, digest: { sha256: rootDigest({ files }) } }],
    predicateType: MODEL_SIGNATURE_TYPE,
    predicate: {
      serialization: { method: 'files', hash_type: 'sha256', allow_symlinks: false, ignore_paths: [] },
      resources: files.map((file) => ({ name: file.path, digest: file.sha256, algorithm: 'sha256' })),
    },
  } as const;
  return signStatement(statement, signer);
}

/**
 * Checks that a signature by a trusted key covers exactly these files with exactly these digests.
 * Throws what verifyStatement throws, `manifest_mismatch` (a file too many or too few; `details` has both lists) or `digest_mismatch` (`details` has path, expected and actual digest).
 */
export function verifyModel(
  bundle: BundleInput,
  trusted: TrustedKeys,
  entries: readonly FileEntry[],
  options: VerifyOptions = {},
): VerifiedModel {
  const { statement, ...signer } = verifyStatement(bundle, trusted, {
    ...options,
    predicateType: MODEL_SIGNATURE_TYPE,
  });
  const resources = readResources(statement.predicate);
  const [subject, second] = statement.subject;
  if (subject === undefined || second !== undefined) throw malformed('it has more than one subject');
  if (rootOf(resources) !== subject.digest.sha256)
    throw malformed('its root digest is not that of its files');
  compareFiles(resources, entries);
  return { ...signer, rootDigest: subject.digest.sha256, name: subject.name };
}

function rootOf(resources: readonly Resource[]): string {
  const hash = createHash('sha256');
  for (const resource of resources) hash.update(resource.digest, 'hex');
  return hash.digest('hex');
}

function readResources(predicate: Readonly<Record<string, unknown>>): Resource[] {
  const serialization = predicate.serialization;
  if (
    !isObject(serialization) ||
    serialization.method !== 'files' ||
    serialization.hash_type !== 'sha256' ||
    serialization.allow_symlinks !== false
  ) {
    throw malformed('its files are not listed one by one with SHA-256 and without links');
  }
  const list = predicate.resources;
  if (!Array.isArray(list) || list.length === 0 || list.length > PACKAGE_FILES_MAX) {
    throw malformed(`it does not list 1 to ${PACKAGE_FILES_MAX} files`);
  }
  const resources = list.map(readResource);
  // The specification sorts by code point; the reference tool by path component. The order is signed either way.
  if (!isAscending(resources, compareCodePoints) && !isAscending(resources, compareComponents)) {
    throw malformed('its files are not sorted, or one is listed twice');
  }
  return resources;
}

function readResource(value: unknown): Resource {
  if (!isObject(value) || value.algorithm !== 'sha256' || !isSha256(value.digest)) {
    throw malformed('a file has no SHA-256 digest');
  }
  const name = value.name;
  const fault = typeof name === 'string' ? artifactPathFault(name) : 'is not a text';
  if (typeof name !== 'string' || fault !== undefined) throw malformed(`the path of a file ${fault}`);
  return { name, digest: value.digest };
}

function isAscending(resources: readonly Resource[], compare: (a: string, b: string) => number): boolean {
  return resources.every(
    (resource, i) => i === 0 || compare(resources[i - 1]?.name ?? '', resource.name) < 0,
  );
}

function compareFiles(resources: readonly Resource[], entries: readonly FileEntry[]): void {
  const actual = new Map(entries.map((entry) => [entry.path, entry.sha256]));
  const signed = new Set(resources.map((resource) => resource.name));
  const missing = resources.filter((resource) => !actual.has(resource.name)).map((resource) => resource.name);
  const extra = entries.filter((entry) => !signed.has(entry.path)).map((entry) => entry.path);
  if (missing.length > 0 || extra.length > 0 || actual.size !== entries.length) {
    const parts = [
      ...missing.map((path) => `lacks ${path}`),
      ...extra.map((path) => `has the unsigned ${path}`),
    ];
    const what = parts.slice(0, 3).join(', ') || 'lists a file twice';
    throw new AppError('manifest_mismatch', `The package is not the one that was signed: it ${what}.`, {
      details: { missing, extra },
    });
  }
  for (const { name, digest } of resources) {
    if (actual.get(name) === digest) continue;
    throw new AppError(
      'digest_mismatch',
      `The file ${name} is not the one that was signed; it is not used.`,
      {
        details: { path: name, expected: digest, actual: actual.get(name) },
      },
    );
  }
}
