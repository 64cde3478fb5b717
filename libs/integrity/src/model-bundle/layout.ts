import { AppError } from '@millrace/contracts';
import { PACKAGE_FILES_MAX } from '../package-manifest.ts';

/** First line of what a bundle says of itself. */
export const BUNDLE_FORMAT = 'millrace-bundle/1';
/** Folder of a bundle that holds the package: exactly the files that model.sig signs. */
export const MODEL_FOLDER = 'model/';
/** What a bundle holds beside the package. */
export const bundleFiles = {
  about: 'bundle.json',
  manifest: 'manifest.json',
  signature: 'model.sig',
  provenance: 'provenance.sig',
  meta: 'meta.sig',
  /** Only for what was converted here. */
  conversion: 'conversion.sig',
  /** Which version of which model this is; bundles of older releases lack it. */
  identity: 'identity.sig',
  history: 'history.json',
  historyStatement: 'history.sig',
  /** What the registry signs with: for a reader who trusts the place that the bundle came from. */
  trust: 'trust.pem',
} as const;

/** Largest file beside the package, in bytes: the signature of the most files with the longest paths stays under it. */
export const BUNDLE_DOCUMENT_BYTES_MAX = 32 * 1024 * 1024;
/** Entries of a bundle: the most files of a package, and folders above them. */
export const BUNDLE_ENTRIES_MAX = 4 * PACKAGE_FILES_MAX;

/** What a bundle says of itself; none of it is believed before it is compared with what is signed. */
export type BundleAbout = {
  readonly format: typeof BUNDLE_FORMAT;
  readonly model: string;
  readonly version: string;
  readonly packageDigest: string;
  readonly exportedAt: string;
};

/** The error of every bundle that is not as an export makes it; `why` follows "The bundle". */
export function invalidBundle(why: string, cause?: unknown): AppError {
  return new AppError('invalid_bundle', `The bundle ${why}.`, { cause });
}
