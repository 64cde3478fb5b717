import { createHash } from 'node:crypto';
import type { OnnxLimits } from './limits.ts';
import { defaultOnnxLimits } from './limits.ts';
import type { OnnxWeight } from './weights.ts';
import { onnxWeights } from './weights.ts';

/** `graphDigest` of an ONNX model: SHA-256 (hex) of the bytes of its file. */
export function onnxGraphDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Canonical weights digest of an ONNX model: SHA-256 (hex) over the initialisers of the main graph, sorted by the
 * UTF-8 bytes of their names. Each adds one line, the JSON array `[name, dtype, [dims…]]` and a line feed, then its
 * elements row by row, little-endian, as `raw_data` holds them (a string: its length as uint64, then its bytes).
 * A sparse initialiser counts as two tensors, the second named `<name>#indices`. Whether a tensor is stored raw or
 * typed makes no difference. Throws as inspectOnnx does for a file whose structure does not hold.
 */
export function onnxWeightsDigest(bytes: Uint8Array, limits: OnnxLimits = defaultOnnxLimits): string {
  return weightsDigestOf(onnxWeights(bytes, limits));
}

/** The canonical digest of sorted weights, as onnxWeightsDigest gives it. */
export function weightsDigestOf(weights: readonly OnnxWeight[]): string {
  const hash = createHash('sha256');
  for (const { name, dtype, shape, pieces } of weights) {
    hash.update(`${JSON.stringify([name, dtype, shape])}\n`);
    for (const piece of pieces()) hash.update(piece);
  }
  return hash.digest('hex');
}
