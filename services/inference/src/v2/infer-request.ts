import { AppError } from '@millrace/contracts';
import type { Member } from '../tensors/predict-body.ts';
import { arrayElements, assertEnd, objectMembers, parseSlice } from '../tensors/predict-body.ts';

type Parameters = Readonly<Record<string, unknown>>;

/** An input as it is described in the JSON of an inference request; its values are still unread. */
export type RequestedInput = {
  name: string;
  datatype: string;
  shape: number[];
  /** Place of `data` in the body. */
  data?: Member;
  /** Bytes of a binary tensor, which follow the JSON. */
  binaryBytes?: number;
};

export type RequestedOutput = { name: string; isBinary?: boolean };

/** The JSON of an Open Inference Protocol request. */
export type InferRequest = {
  id?: string;
  inputs: RequestedInput[];
  /** All outputs when absent. */
  outputs?: RequestedOutput[];
  isBinaryOutput: boolean;
  /** `parameters.timeout` (microseconds there). */
  deadlineMs?: number;
};

const INPUT_FIELDS = ['name', 'shape', 'datatype', 'parameters', 'data'];
const FIELDS = ['id', 'parameters', 'inputs', 'outputs'];
/** A model has no more inputs or outputs than this. */
const TENSORS_MAX = 1_024;

function bad(message: string): AppError {
  return new AppError('invalid_request', message);
}

function assertKnown(members: readonly Member[], known: readonly string[], where: string): void {
  const unknown = members.find(({ key }) => !known.includes(key));
  if (unknown !== undefined)
    throw new AppError('unknown_field', `${where} has a field '${unknown.key}' that is not known here.`);
}

function memberValue(bytes: Buffer, members: readonly Member[], key: string): unknown {
  const member = members.find((candidate) => candidate.key === key);
  return member === undefined ? undefined : parseSlice(bytes, member.start, member.end);
}

function parametersOf(value: unknown): Parameters {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad('parameters must be an object.');
  return value as Parameters;
}

function shapeOf(value: unknown, name: string): number[] {
  const isShape =
    Array.isArray(value) &&
    value.length <= 16 &&
    value.every((size) => Number.isSafeInteger(size) && size > 0);
  if (!isShape) {
    throw new AppError(
      'invalid_shape',
      `The shape of input "${name}" must be a list of whole numbers over 0.`,
    );
  }
  const count = (value as number[]).reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count))
    throw new AppError('invalid_shape', `The shape of input "${name}" is too large.`);
  return value as number[];
}

function readInput(bytes: Buffer, at: number): RequestedInput {
  const { members } = objectMembers(bytes, at);
  assertKnown(members, INPUT_FIELDS, 'An input');
  const name = memberValue(bytes, members, 'name');
  const datatype = memberValue(bytes, members, 'datatype');
  if (typeof name !== 'string' || typeof datatype !== 'string')
    throw bad('Each input has a name, a shape and a datatype.');
  const shape = shapeOf(memberValue(bytes, members, 'shape'), name);
  const size = parametersOf(memberValue(bytes, members, 'parameters')).binary_data_size;
  const data = members.find(({ key }) => key === 'data');
  if (size !== undefined && (!Number.isSafeInteger(size) || (size as number) < 0)) {
    throw bad(`binary_data_size of input "${name}" must be a whole number of bytes.`);
  }
  if ((size === undefined) === (data === undefined)) {
    throw bad(`Input "${name}" needs either data or parameters.binary_data_size.`);
  }
  return data === undefined
    ? { name, datatype, shape, binaryBytes: size as number }
    : { name, datatype, shape, data };
}

function readOutputs(value: unknown): RequestedOutput[] {
  if (!Array.isArray(value) || value.length > TENSORS_MAX) throw bad('outputs must be a list.');
  return value.map((item: unknown) => {
    const { name, parameters } = (item ?? {}) as { name?: unknown; parameters?: unknown };
    if (typeof name !== 'string') throw bad('Each requested output has a name.');
    const { binary_data: isBinary, classification } = parametersOf(parameters);
    if (classification !== undefined)
      throw bad('The classification extension is not offered; ask for the tensor.');
    if (isBinary !== undefined && typeof isBinary !== 'boolean')
      throw bad('binary_data must be true or false.');
    return isBinary === undefined ? { name } : { name, isBinary };
  });
}

/**
 * Reads the JSON part of an inference request, values left unread. Throws `invalid_json`, `unknown_field`,
 * `invalid_request` or `invalid_shape`.
 */
export function readInferRequest(json: Buffer): InferRequest {
  const { members, end } = objectMembers(json);
  assertEnd(json, end);
  assertKnown(members, FIELDS, 'The request');
  const id = memberValue(json, members, 'id');
  if (id !== undefined && typeof id !== 'string') throw bad('id must be a text.');
  const inputs = members.find(({ key }) => key === 'inputs');
  if (inputs === undefined) throw bad('The request has no inputs.');
  const elements = arrayElements(json, inputs.start, 'inputs');
  if (elements.length > TENSORS_MAX) throw bad(`A request has at most ${TENSORS_MAX} inputs.`);
  const parameters = parametersOf(memberValue(json, members, 'parameters'));
  const outputs = memberValue(json, members, 'outputs');
  const timeout = Number(parameters.timeout ?? 0);
  return {
    ...(id !== undefined && { id }),
    inputs: elements.map(({ start }) => readInput(json, start)),
    ...(outputs !== undefined && (outputs as unknown[]).length !== 0 && { outputs: readOutputs(outputs) }),
    isBinaryOutput: parameters.binary_data_output === true,
    ...(timeout > 0 && { deadlineMs: timeout / 1000 }),
  };
}
