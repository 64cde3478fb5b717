import { hash } from 'node:crypto';
import type { TensorSummary } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import { rawBytes } from '../tensors/tensor.ts';
import { flatValues } from '../tensors/tensor-to-json.ts';
import { createTokenBucket } from './token-bucket.ts';

/** Values of a tensor up to this size go along; larger ones are named by digest and shape (bytes). */
const INLINE_BYTES_MAX = 4 * 1024;
/** More values than this go as bytes: as JSON they are several times the size and ten times the work. */
const JSON_VALUES_MAX = 64;
/** Model hosts hash the inputs from this size on, which takes that work off the event loop (bytes). */
const LARGE_BYTES_MIN = 16 * 1024;
/** A process of requests hashes no tensor over this by itself: 2 ms (bytes). */
const HASHED_BYTES_MAX = 4 * 1024 * 1024;
/**
 * Bytes of large tensors that each process hashes a second. Of images of 0.6 MB that come as fast as they are answered,
 * hashing all took 16 % of the processor.
 */
const HASHED_BYTES_PER_SECOND_MAX = 16 * 1024 * 1024;
const hashed = createTokenBucket(HASHED_BYTES_PER_SECOND_MAX);

function bytesOf(tensor: Tensor): Uint8Array {
  if (tensor.dtype !== 'string') return rawBytes(tensor.data);
  return Buffer.from(JSON.stringify(tensor.data));
}

/** SHA-256 (hex) of a tensor of numbers that is large, while large ones are few; null for others. */
export function digestIfLarge(tensor: Tensor): string | null {
  if (tensor.dtype === 'string' || tensor.data.byteLength < LARGE_BYTES_MIN) return null;
  return hashed.take(tensor.data.byteLength) ? hash('sha256', rawBytes(tensor.data)) : null;
}

/** SHA-256 (hex) of a tensor's values. */
export function digestOf(tensor: Tensor): string {
  return hash('sha256', bytesOf(tensor));
}

function digestFor(bytes: Uint8Array): string | undefined {
  const { byteLength } = bytes;
  const isSmall = byteLength < LARGE_BYTES_MIN;
  return isSmall || (byteLength <= HASHED_BYTES_MAX && hashed.take(byteLength))
    ? hash('sha256', bytes)
    : undefined;
}

/**
 * What telemetry tells of a tensor; `digest` is its SHA-256 where it is known already. `withValues` false leaves the
 * values out, however few. A large tensor has no digest while many of its kind come.
 */
export function summarise(tensor: Tensor, digest?: string | null, withValues = true): TensorSummary {
  const bytes = bytesOf(tensor);
  const { name, dtype } = tensor;
  const sha256 = digest ?? digestFor(bytes);
  const summary = { name, dtype, shape: [...tensor.shape], ...(sha256 !== undefined && { sha256 }) };
  if (!withValues || bytes.byteLength > INLINE_BYTES_MAX) return summary;
  if (dtype === 'string' || tensor.data.length <= JSON_VALUES_MAX)
    return { ...summary, values: flatValues(tensor) };
  const { buffer, byteOffset, byteLength } = bytes;
  return { ...summary, data: Buffer.from(buffer, byteOffset, byteLength).toString('base64') };
}
