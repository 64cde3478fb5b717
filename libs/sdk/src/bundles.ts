import type { Transport } from './transport.ts';

/** A bundle of gigabytes is sent, read and verified within this (ms). */
const BUNDLE_TIMEOUT_MS = 1_800_000;

/** The names that the version of a bundle gets, and who is trusted to have signed it. */
export type BundleImport = {
  model: string;
  version: string;
  /** PEM of public keys and certificates of authorities. */
  trust: string;
  /** Takes a bundle of a release that did not sign which version it is; refused otherwise. */
  allowMissingIdentity?: boolean;
  signal?: AbortSignal;
};

/** A version that came in a bundle. */
export type ImportedBundle = {
  model: string;
  version: string;
  modelVersionId: string;
  /** Of the package here, which holds the one of the bundle and what was signed about it. */
  packageDigest: string;
};

/** Versions that another registry exported. */
export function createBundlesClient({ call }: Transport) {
  return {
    /** Has the platform verify a bundle (the bytes of its tar) and register what it holds; may be repeated. */
    async import(bundle: Blob, asked: BundleImport): Promise<ImportedBundle> {
      const { model, version, trust, allowMissingIdentity = false, signal } = asked;
      const form = new FormData();
      form.append('trust', trust);
      if (allowMissingIdentity) form.append('allowMissingIdentity', 'true');
      form.append('file', bundle, 'bundle.tar');
      const path = `/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}/bundle`;
      return await call<ImportedBundle>('PUT', path, {
        body: form,
        timeoutMs: BUNDLE_TIMEOUT_MS,
        ...(signal !== undefined && { signal }),
      });
    },
  };
}
