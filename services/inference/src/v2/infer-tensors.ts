import { AppError } from '@millrace/contracts';
import type { DType } from '../tensors/dtype.ts';
import { bytesPerElement, protocolName, viewBytes } from '../tensors/dtype.ts';
import type { ReadLimits } from '../tensors/read-inputs.ts';
import { assertInputNames, indexNotFinite, readInput } from '../tensors/read-inputs.ts';
import { resolveShape } from '../tensors/shape.ts';
import type { ModelSignature, Tensor, TensorSpec } from '../tensors/tensor.ts';
import { elementCount, rawBytes, showShape } from '../tensors/tensor.ts';
import { assertServableText, notFinite } from '../tensors/tensor-from-json.ts';
import type { InferRequest, RequestedInput } from './infer-request.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function wrongSize(name: string, got: number, expected: number | string): AppError {
  return new AppError(
    'invalid_shape',
    `Input "${name}" has ${got} bytes of binary data; its shape takes ${expected}.`,
  );
}

/** Strings of a binary tensor: each a little-endian length of four bytes and UTF-8. */
function readStrings(name: string, bytes: Buffer, count: number): string[] {
  const strings: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = at + 4 <= bytes.length ? bytes.readUInt32LE(at) : Number.MAX_SAFE_INTEGER;
    if (at + 4 + length > bytes.length) throw wrongSize(name, bytes.length, 'whole strings');
    let text: string;
    try {
      text = utf8.decode(bytes.subarray(at + 4, at + 4 + length));
    } catch {
      throw new AppError('invalid_type', `Text ${strings.length} of input "${name}" is not valid UTF-8.`);
    }
    assertServableText(name, strings.length, text);
    strings.push(text);
    at += 4 + length;
  }
  if (strings.length !== count) throw wrongSize(name, bytes.length, `${count} strings`);
  return strings;
}

/** A tensor of the bytes that came for an input, for a shape that was checked. */
export function fromBytes(spec: TensorSpec, shape: number[], bytes: Buffer): Tensor {
  const { name, dtype } = spec;
  const count = elementCount(shape);
  if (dtype === 'string') return { name, dtype, shape, data: readStrings(name, bytes, count) };
  const expected = count * bytesPerElement(dtype);
  if (bytes.length !== expected) throw wrongSize(name, bytes.length, `${expected} bytes`);
  const tensor = { name, dtype, shape, data: viewBytes(dtype, bytes, count) } as Tensor;
  const index = indexNotFinite(tensor);
  if (index >= 0) throw notFinite(spec, index);
  if (dtype === 'bool' && bytes.some((byte) => byte > 1)) {
    throw new AppError('invalid_type', `Input "${name}" takes BOOL; each byte must be 0 or 1.`);
  }
  return tensor;
}

/** Checks that an input was sent with the type and a shape that the model takes. Throws `invalid_type` or `invalid_shape`. */
export function assertDeclared(spec: TensorSpec, input: Pick<RequestedInput, 'datatype' | 'shape'>): void {
  if (input.datatype !== protocolName(spec.dtype)) {
    throw new AppError(
      'invalid_type',
      `Input "${spec.name}" takes ${protocolName(spec.dtype)}, not ${input.datatype}.`,
    );
  }
  const fits =
    input.shape.length === spec.shape.length &&
    spec.shape.every((size, axis) => size === null || size === input.shape[axis]);
  if (!fits) {
    throw new AppError(
      'invalid_shape',
      `Input "${spec.name}" takes ${showShape(spec.shape)}, not ${showShape(input.shape)}.`,
    );
  }
}

function fromJson(spec: TensorSpec, input: RequestedInput, json: Buffer, limits: ReadLimits): Tensor {
  const elementsMax = Math.min(elementCount(input.shape), limits.elementsMax);
  // the shape is given, so the values may come flat or nested
  const data = input.data as NonNullable<RequestedInput['data']>;
  if (elementCount(input.shape) > limits.elementsMax) {
    throw new AppError('invalid_shape', `Input "${spec.name}" has fewer values than its shape takes.`);
  }
  const tensor = readInput(json, data, { ...spec, shape: input.shape }, { ...limits, elementsMax });
  return { ...tensor, shape: input.shape } as Tensor;
}

/**
 * The inputs of a request in the model's order, from JSON or from the bytes that follow it.
 * Throws `missing_input`, `extra_input`, `invalid_type`, `invalid_shape`, `not_finite`.
 */
export function readTensors(
  request: InferRequest,
  signature: ModelSignature,
  json: Buffer,
  binary: Buffer,
  limits: ReadLimits,
): Tensor[] {
  assertInputNames(
    signature,
    request.inputs.map((input) => input.name),
  );
  if (request.inputs.length !== signature.inputs.length) {
    throw new AppError('extra_input', 'An input is named twice.');
  }
  const byName = new Map<string, Tensor>();
  let at = 0;
  for (const input of request.inputs) {
    const spec = signature.inputs.find(({ name }) => name === input.name) as TensorSpec;
    assertDeclared(spec, input);
    if (input.binaryBytes === undefined) byName.set(input.name, fromJson(spec, input, json, limits));
    else {
      if (at + input.binaryBytes > binary.length)
        throw wrongSize(input.name, binary.length - at, input.binaryBytes);
      byName.set(input.name, fromBytes(spec, input.shape, binary.subarray(at, at + input.binaryBytes)));
      at += input.binaryBytes;
    }
  }
  if (at !== binary.length) {
    throw new AppError('invalid_shape', `${binary.length - at} bytes of binary data belong to no input.`);
  }
  return signature.inputs.map(({ name }) => byName.get(name) as Tensor);
}

/** The one input of a raw request: nothing but bytes, the free dimension by division. */
export function readRawTensor(signature: ModelSignature, bytes: Buffer): Tensor[] {
  const [spec, ...more] = signature.inputs;
  if (spec === undefined || more.length > 0) {
    throw new AppError('invalid_request', 'A raw request needs a model with exactly one input.');
  }
  const width =
    spec.dtype === 'string' ? bytes.length : bytesPerElement(spec.dtype as Exclude<DType, 'string'>);
  if (width === 0 || bytes.length % width !== 0) throw wrongSize(spec.name, bytes.length, 'whole values');
  const count = bytes.length / width;
  return [fromBytes(spec, resolveShape(spec, [count], count), bytes)];
}

/** The bytes of an output as a binary tensor. */
export function binaryOf(tensor: Tensor): Uint8Array {
  if (tensor.dtype !== 'string') return rawBytes(tensor.data);
  const parts = tensor.data.flatMap((text) => {
    const bytes = Buffer.from(text, 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts);
}
