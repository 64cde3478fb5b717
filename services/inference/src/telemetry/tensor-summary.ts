import { hash } from 'node:crypto';
import type { TensorSummary } from '@millrace/contracts';
import type { Static } from 'typebox';
import type { Tensor } from '../tensors/tensor.ts';
import { rawBytes } from '../tensors/tensor.ts';
import { flatValues } from '../tensors/tensor-to-json.ts';

/** Values of a tensor up to this size go along; larger ones are named by digest and shape (bytes). */
const INLINE_BYTES_MAX = 4 * 1024;
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

/** What telemetry tells of a tensor; `digest` is its SHA-256 where it is known already. */
export function summarise(tensor: Tensor, digest?: string | null): Static<typeof TensorSummary> {
  const bytes = bytesOf(tensor);
  const values = bytes.byteLength <= INLINE_BYTES_MAX ? flatValues(tensor) : undefined;
  const { name, dtype, shape } = tensor;
  const sha256 = digest ?? hash('sha256', bytes);
  return { name, dtype, shape: [...shape], sha256, ...(values !== undefined && { values }) };
}
