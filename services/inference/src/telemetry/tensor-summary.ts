import { createHash } from 'node:crypto';
import type { Static } from 'typebox';
import type { TensorSummary } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import { rawBytes } from '../tensors/tensor.ts';
import { flatValues } from '../tensors/tensor-to-json.ts';

/** Values of a tensor up to this size go along; larger ones are named by digest and shape (bytes). */
const INLINE_BYTES_MAX = 4 * 1024;
/** Larger tensors are hashed off the event loop (bytes). */
const ASYNC_BYTES_MIN = 16 * 1024;

function bytesOf(tensor: Tensor): Uint8Array {
  if (tensor.dtype !== 'string') return rawBytes(tensor.data);
  return Buffer.from(JSON.stringify(tensor.data));
}

async function digest(bytes: Uint8Array): Promise<string> {
  if (bytes.byteLength < ASYNC_BYTES_MIN) return createHash('sha256').update(bytes).digest('hex');
  const hash = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Buffer.from(hash).toString('hex');
}

/** What telemetry tells of a tensor. The bytes are copied before this returns, so they may be used again at once. */
export async function summarise(tensor: Tensor): Promise<Static<typeof TensorSummary>> {
  const bytes = bytesOf(tensor);
  const values = bytes.byteLength <= INLINE_BYTES_MAX ? flatValues(tensor) : undefined;
  const { name, dtype, shape } = tensor;
  const sha256 = await digest(bytes);
  return { name, dtype, shape: [...shape], sha256, ...(values !== undefined && { values }) };
}
