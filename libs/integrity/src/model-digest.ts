import { canonicalJson } from './canonical-json.ts';
import { isSha256, sha256Hex } from './digest.ts';

/** What identifies the function a model computes, whatever its files are called. */
export type ModelIdentity = {
  /**
   * Canonical weights digest: SHA-256 over the weights sorted by name (name, dtype, shape, raw bytes). A trained
   * model brings its framework's; an uploaded ONNX file brings that of its initialisers.
   */
  readonly weightsDigest?: string | undefined;
  /** SHA-256 of each graph file that repeats when training repeats (ONNX, TFLite, frozen graph), in any order. */
  readonly graphDigests: readonly string[];
};

/**
 * `modelDigest`: SHA-256 of the canonical JSON of `{"graphs":[…sorted, each once], "weights": hex or null}`.
 * It repeats when training repeats bit for bit. Throws TypeError for a malformed digest or when nothing is given.
 */
export function modelDigest(identity: ModelIdentity): string {
  const graphs = [...new Set(identity.graphDigests)].sort();
  const weights = identity.weightsDigest ?? null;
  if (graphs.length === 0 && weights === null)
    throw new TypeError('A model digest needs at least one digest.');
  for (const digest of weights === null ? graphs : [...graphs, weights]) {
    if (!isSha256(digest))
      throw new TypeError('A model digest is made of digests of 64 lower-case hex digits.');
  }
  return sha256Hex(canonicalJson({ graphs, weights }));
}
