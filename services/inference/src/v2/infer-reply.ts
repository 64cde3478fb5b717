import { AppError } from '@millrace/contracts';
import { protocolName } from '../tensors/dtype.ts';
import type { Tensor } from '../tensors/tensor.ts';
import { flatValues } from '../tensors/tensor-to-json.ts';
import type { InferRequest } from './infer-request.ts';
import { binaryOf } from './infer-tensors.ts';

/** Binary tensors begin at multiples of this in our answers, so that clients can view them in place. */
const ALIGNMENT = 8;

export type InferReply = { body: Buffer; contentType: string; jsonBytes?: number };

function outputJson(tensor: Tensor, bytes: Uint8Array | undefined): object {
  const { name, shape, dtype } = tensor;
  const about = { name, datatype: protocolName(dtype), shape };
  if (bytes !== undefined) return { ...about, parameters: { binary_data_size: bytes.byteLength } };
  if (dtype === 'float16')
    throw new AppError(
      'invalid_type',
      `Output "${name}" is FP16, which has no JSON form; ask for binary data.`,
    );
  return { ...about, data: flatValues(tensor) };
}

/** Writes an answer: JSON, followed by the outputs that were asked for as binary data. */
export function writeReply(
  about: { model: string; ordinal: number },
  request: Pick<InferRequest, 'id' | 'outputs' | 'isBinaryOutput'>,
  outputs: readonly Tensor[],
): InferReply {
  const isBinary = (name: string): boolean =>
    request.outputs?.find((output) => output.name === name)?.isBinary ?? request.isBinaryOutput;
  const binaries = outputs.map((tensor) => (isBinary(tensor.name) ? binaryOf(tensor) : undefined));
  const json = JSON.stringify({
    model_name: about.model,
    model_version: String(about.ordinal),
    ...(request.id !== undefined && { id: request.id }),
    outputs: outputs.map((tensor, i) => outputJson(tensor, binaries[i])),
  });
  const parts = binaries.filter((bytes) => bytes !== undefined);
  if (parts.length === 0) return { body: Buffer.from(json), contentType: 'application/json' };
  const head = Buffer.from(json);
  const padding = (ALIGNMENT - (head.length % ALIGNMENT)) % ALIGNMENT;
  return {
    body: Buffer.concat([head, Buffer.alloc(padding, ' '), ...parts]),
    contentType: 'application/octet-stream',
    jsonBytes: head.length + padding,
  };
}
