import { hash } from 'node:crypto';
import type { TensorSummary } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import { rawBytes } from '../tensors/tensor.ts';
import { flatValues } from '../tensors/tensor-to-json.ts';

/** Values of a tensor up to this size go along; larger ones are named by digest and shape (bytes). */
const INLINE_BYTES_MAX = 4 * 1024;
/** More values than this go as bytes: as JSON they are several times the size and ten times the work. */
const JSON_VALUES_MAX = 64;
/** Model hosts hash the inputs from this size on, which takes that work off the event loop (bytes). */
const LARGE_BYTES_MIN = 16 * 1024;

function bytesOf(tensor: Tensor): Uint8Array {
  if (tensor.dtype !== 'string') return rawBytes(tensor.data);
  return Buffer.from(JSON.stringify(tensor.data));
}

/** SHA-256 (hex) of a tensor of numbers that is large; null for others. */
export function digestIfLarge(tensor: Tensor): string | null {
  if (tensor.dtype === 'string' || tensor.data.byteLength < LARGE_BYTES_MIN) return null;
  return hash('sha256', rawBytes(tensor.data));
}

/** SHA-256 (hex) of a tensor's values. */
export function digestOf(tensor: Tensor): string {
  return hash('sha256', bytesOf(tensor));
}

/**
 * What telemetry tells of a tensor; `digest` is its SHA-256 where it is known already. `withValues` false leaves the
 * values out, however few.
 */
export function summarise(tensor: Tensor, digest?: string | null, withValues = true): TensorSummary {
  const bytes = bytesOf(tensor);
  const { name, dtype } = tensor;
  const summary = { name, dtype, shape: [...tensor.shape], sha256: digest ?? hash('sha256', bytes) };
  if (!withValues || bytes.byteLength > INLINE_BYTES_MAX) return summary;
  if (dtype === 'string' || tensor.data.length <= JSON_VALUES_MAX)
    return { ...summary, values: flatValues(tensor) };
  const { buffer, byteOffset, byteLength } = bytes;
  return { ...summary, data: Buffer.from(buffer, byteOffset, byteLength).toString('base64') };
}
