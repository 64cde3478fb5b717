import { AppError } from '@millrace/contracts';
import { assertInputNames, indexNotFinite } from '../../tensors/read-inputs.ts';
import type { ModelSignature, Tensor, TensorSpec } from '../../tensors/tensor.ts';
import { notFinite } from '../../tensors/tensor-from-json.ts';
import { assertDeclared, fromBytes } from '../../v2/infer-tensors.ts';
import { readContents } from './contents.ts';
import type { GrpcInferRequest, GrpcInput } from './infer-request.ts';

function assertShape({ name, shape }: GrpcInput): void {
  if (!shape.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw new AppError(
      'invalid_shape',
      `The shape of input "${name}" must be a list of whole numbers over 0.`,
    );
  }
  if (!Number.isSafeInteger(shape.reduce((product, size) => product * size, 1)))
    throw new AppError('invalid_shape', `The shape of input "${name}" is too large.`);
}

function assertParameters({ name, parameters }: GrpcInput): void {
  for (const key of parameters?.keys() ?? []) {
    if (key.startsWith('shared_memory_')) {
      throw new AppError(
        'invalid_request',
        `Input "${name}" is in shared memory, which is not offered here; send the tensor.`,
      );
    }
  }
}

function readInput(message: Buffer, request: GrpcInferRequest, index: number, spec: TensorSpec): Tensor {
  const input = request.inputs[index] as GrpcInput;
  assertParameters(input);
  assertShape(input);
  assertDeclared(spec, input);
  const raw = request.raw[index];
  if (raw !== undefined) return fromBytes(spec, input.shape, raw);
  const place = input.contents;
  if (place === undefined) {
    throw new AppError(
      'invalid_request',
      `Input "${spec.name}" has no values; send contents, or raw_input_contents for all inputs.`,
    );
  }
  const tensor = readContents(message, place, spec, input.shape);
  const bad = indexNotFinite(tensor);
  if (bad >= 0) throw notFinite(spec, bad);
  return tensor;
}

/**
 * The inputs of a request in the model's order; raw ones are views of the message where they are aligned in it.
 * Throws `missing_input`, `extra_input`, `invalid_type`, `invalid_shape`, `not_finite` or `invalid_request`.
 */
export function readInputs(message: Buffer, request: GrpcInferRequest, signature: ModelSignature): Tensor[] {
  const { inputs, raw } = request;
  const names = inputs.map(({ name }) => name);
  assertInputNames(signature, names);
  if (inputs.length !== signature.inputs.length)
    throw new AppError('extra_input', 'An input is named twice.');
  if (raw.length !== 0 && raw.length !== inputs.length) {
    throw new AppError(
      'invalid_request',
      `The request has ${inputs.length} inputs and ${raw.length} raw_input_contents; send one for each, or none.`,
    );
  }
  if (raw.length > 0 && inputs.some(({ contents }) => contents !== undefined)) {
    throw new AppError(
      'invalid_request',
      'A request with raw_input_contents must not have contents in its inputs.',
    );
  }
  return signature.inputs.map((spec) => readInput(message, request, names.indexOf(spec.name), spec));
}
