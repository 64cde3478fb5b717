import type { ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { LoadedModel } from '../models/model-store.ts';
import { protocolName } from '../tensors/dtype.ts';
import type { Tensor } from '../tensors/tensor.ts';
import { hasBatchAxis } from '../tensors/tensor.ts';
import { flatText } from '../tensors/tensor-text.ts';
import { classify } from './classification.ts';
import type { InferRequest } from './infer-request.ts';
import { binaryOf } from './infer-tensors.ts';

/** Binary tensors begin at multiples of this in our answers, so that clients can view them in place. */
const ALIGNMENT = 8;

/** What is written of a request; JSON as text, JSON and binary tensors as bytes. */
export type InferReply = { body: string | Buffer; contentType: string; jsonBytes?: number };
type Asked = Pick<InferRequest, 'id' | 'outputs' | 'isBinaryOutput'>;

/** The beginning of each answer of a version. */
const heads = new WeakMap<ResolvedVersion, string>();

function headOf(version: ResolvedVersion): string {
  const held = heads.get(version);
  if (held !== undefined) return held;
  const head = `{"model_name":${JSON.stringify(version.model)},"model_version":"${version.ordinal}"`;
  heads.set(version, head);
  return head;
}

function isBinaryAsked(asked: Asked, name: string): boolean {
  const own = asked.outputs?.find((output) => output.name === name)?.isBinary;
  return own ?? asked.isBinaryOutput ?? false;
}

/**
 * Checks before the run that the model can give the outputs in the form that was asked for, and names them; undefined for
 * all. Throws `invalid_request` or `invalid_type`.
 */
export function wantedOutputs(model: LoadedModel, asked: Asked): string[] | undefined {
  const { outputs } = model.served.signature;
  const names = asked.outputs?.map(({ name }) => name);
  if (names !== undefined) {
    const unknown = names.find((name) => !outputs.some((spec) => spec.name === name));
    if (unknown !== undefined) {
      const known = outputs.map(({ name }) => name).join(', ');
      throw new AppError('invalid_request', `The model has no output "${unknown}"; it gives ${known}.`);
    }
    if (new Set(names).size !== names.length)
      throw new AppError('invalid_request', 'An output is named twice; name it once.');
  }
  const half = outputs.find(
    ({ name, dtype }) =>
      dtype === 'float16' && (names?.includes(name) ?? true) && !isBinaryAsked(asked, name),
  );
  if (half !== undefined) {
    throw new AppError(
      'invalid_type',
      `Output "${half.name}" is FP16, which has no JSON form; ask for it with binary_data: true.`,
    );
  }
  return names;
}

/** The outputs as they were asked for: as they are, or as classes. */
export function askedOutputs(
  model: LoadedModel,
  asked: Asked,
  outputs: readonly Tensor[],
): readonly Tensor[] {
  if (asked.outputs?.some(({ classes }) => classes !== undefined) !== true) return outputs;
  const hasRows = hasBatchAxis(model.served.signature);
  return outputs.map((tensor) => {
    const classes = asked.outputs?.find(({ name }) => name === tensor.name)?.classes;
    return classes === undefined ? tensor : classify(tensor, classes, model.labels, hasRows);
  });
}

/** Writes an answer: JSON, followed by the outputs that were asked for as binary data. */
export function writeReply(version: ResolvedVersion, asked: Asked, outputs: readonly Tensor[]): InferReply {
  let json = headOf(version);
  if (asked.id !== undefined) json += `,"id":${JSON.stringify(asked.id)}`;
  json += ',"outputs":[';
  const parts: Uint8Array[] = [];
  for (const [i, tensor] of outputs.entries()) {
    const name = JSON.stringify(tensor.name);
    json += `${i === 0 ? '' : ','}{"name":${name},"datatype":"${protocolName(tensor.dtype)}","shape":[${tensor.shape.join()}]`;
    if (isBinaryAsked(asked, tensor.name)) {
      const bytes = binaryOf(tensor);
      parts.push(bytes);
      json += `,"parameters":{"binary_data_size":${bytes.byteLength}}}`;
    } else json += `,"data":[${flatText(tensor)}]}`;
  }
  json += ']}';
  if (parts.length === 0) return { body: json, contentType: 'application/json' };
  const head = Buffer.from(json);
  const padding = (ALIGNMENT - (head.length % ALIGNMENT)) % ALIGNMENT;
  return {
    body: Buffer.concat([head, Buffer.alloc(padding, ' '), ...parts]),
    contentType: 'application/octet-stream',
    jsonBytes: head.length + padding,
  };
}
