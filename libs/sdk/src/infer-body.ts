import { AppError } from '@millrace/contracts';
import type { Tensor } from './tensor.ts';
import { assertTensor, fromBytes, fromJsonValues, isDatatype, toBytes, toJsonValues } from './tensor.ts';

/** Header with the length of the JSON in front of binary tensors. */
const JSON_BYTES = 'inference-header-content-length';
/** Binary tensors begin at multiples of this. */
const ALIGNMENT = 8;

/** How tensors travel: as their bytes, or as JSON. */
export type TensorFormat = 'binary' | 'json';

/** What goes into the body of an inference request. */
export type InferParts = {
  inputs: readonly Tensor[];
  outputs?: readonly string[];
  id?: string;
  parameters?: Readonly<Record<string, string | number | boolean>>;
};

export type InferBody = { body: Uint8Array | string; headers: Record<string, string> };

/** Writes a request. Throws `invalid_type` or `invalid_shape` for a tensor that contradicts itself. */
export function writeInferBody(parts: InferParts, format: TensorFormat): InferBody {
  for (const tensor of parts.inputs) assertTensor(tensor);
  const isBinary = format === 'binary';
  const bytes = isBinary ? parts.inputs.map(toBytes) : [];
  const json = JSON.stringify({
    ...(parts.id !== undefined && { id: parts.id }),
    inputs: parts.inputs.map((tensor, i) => {
      const { name, datatype, shape } = tensor;
      const head = { name, datatype, shape };
      if (!isBinary) return { ...head, data: toJsonValues(tensor) };
      return { ...head, parameters: { binary_data_size: (bytes[i] as Uint8Array).byteLength } };
    }),
    ...(parts.outputs !== undefined && { outputs: parts.outputs.map((name) => ({ name })) }),
    parameters: { ...parts.parameters, ...(isBinary && { binary_data_output: true }) },
  });
  if (!isBinary) return { body: json, headers: { 'content-type': 'application/json' } };
  const head = new TextEncoder().encode(json);
  const jsonBytes = Math.ceil(head.length / ALIGNMENT) * ALIGNMENT;
  const body = new Uint8Array(bytes.reduce((total, part) => total + part.byteLength, jsonBytes));
  body.set(head);
  // white space after the JSON, so that the first tensor can be read in place
  body.fill(32, head.length, jsonBytes);
  let at = jsonBytes;
  for (const part of bytes) {
    body.set(part, at);
    at += part.byteLength;
  }
  return {
    body,
    headers: { 'content-type': 'application/octet-stream', [JSON_BYTES]: String(jsonBytes) },
  };
}

type WireTensor = {
  name: string;
  datatype: string;
  shape: number[];
  data?: unknown;
  parameters?: { binary_data_size?: number };
};
type WireReply = { model_name: string; model_version: string; id?: string; outputs: WireTensor[] };

/** What a model answered. */
export type InferReply = { model: string; version: string; id?: string; outputs: Tensor[] };

/** Reads an answer. Throws `internal` for one that is not of the protocol. */
export function readInferReply(bytes: Uint8Array, headers: Headers): InferReply {
  const jsonBytes = Number(headers.get(JSON_BYTES) ?? bytes.length);
  let reply: WireReply;
  try {
    reply = JSON.parse(new TextDecoder().decode(bytes.subarray(0, jsonBytes))) as WireReply;
  } catch (cause) {
    throw new AppError('internal', 'The answer is not one of the inference protocol.', { cause });
  }
  let at = jsonBytes;
  const outputs = reply.outputs.map(({ name, datatype, shape, data, parameters }): Tensor => {
    if (!isDatatype(datatype))
      throw new AppError('internal', `Output "${name}" is ${datatype}, which is not known here; update.`);
    const size = parameters?.binary_data_size;
    if (size === undefined) return { name, datatype, shape, data: fromJsonValues(datatype, data) };
    at += size;
    if (at > bytes.length) throw new AppError('internal', 'The answer ends before its tensors do.');
    return { name, datatype, shape, data: fromBytes(datatype, bytes.subarray(at - size, at)) };
  });
  const { model_name: model, model_version: version, id } = reply;
  return { model, version, outputs, ...(id !== undefined && { id }) };
}
