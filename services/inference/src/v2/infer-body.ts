import { AppError } from '@millrace/contracts';
import type { ReadLimits } from '../tensors/read-inputs.ts';
import type { ModelSignature, Tensor } from '../tensors/tensor.ts';
import type { InferRequest } from './infer-request.ts';
import { readInferRequest } from './infer-request.ts';
import { readRawTensor, readTensors } from './infer-tensors.ts';

const LENGTH = /^\d{1,15}$/;

/** Length of the JSON in front of binary tensors: all of the body without the header. */
function jsonLength(text: string | string[] | undefined, body: Buffer): number {
  if (text === undefined) return body.length;
  const length = Number(text);
  if (typeof text === 'string' && LENGTH.test(text) && length <= body.length) return length;
  throw new AppError(
    'invalid_request',
    `Inference-Header-Content-Length must be a whole number, at most the ${body.length} bytes of the body.`,
  );
}

/** A request as it came: its JSON, and its tensors once the model is known. */
export type InferBody = {
  asked: InferRequest;
  readTensors(signature: ModelSignature, limits: ReadLimits): Tensor[];
};

/**
 * Reads a body of the protocol: JSON, JSON followed by binary tensors, or nothing but the bytes of one tensor.
 * `headerLength` is Inference-Header-Content-Length. Throws what readInferRequest throws.
 */
export function readInferBody(
  body: Buffer,
  headerLength: string | string[] | undefined,
  takesVersion = false,
): InferBody {
  const length = jsonLength(headerLength, body);
  if (headerLength !== undefined && length === 0) {
    return {
      asked: { inputs: [], isBinaryOutput: true },
      readTensors: (signature) => readRawTensor(signature, body),
    };
  }
  const json = body.subarray(0, length);
  const asked = readInferRequest(json, takesVersion);
  return {
    asked,
    readTensors: (signature, limits) => readTensors(asked, signature, json, body.subarray(length), limits),
  };
}
