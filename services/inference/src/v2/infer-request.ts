import { AppError } from '@millrace/contracts';
import { JsonCursor } from '../tensors/json-cursor.ts';
import type { Member } from '../tensors/predict-body.ts';

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

export type RequestedOutput = {
  name: string;
  isBinary?: boolean;
  /** The classification extension: give this many of the largest values with their indices. */
  classes?: number;
};

/** A parameter of the protocol. */
export type Parameter = string | number | boolean;

/** What the parameters of a request say. */
export type RequestParameters = {
  isBinaryOutput?: boolean;
  /** `timeout` (microseconds there). */
  deadlineMs?: number;
  /** 1 is the most urgent; 0 is what requests without it have. */
  priority?: number;
  /** `user_id` and `session_id`: who asks, for rollouts and monitoring. */
  userId?: string;
  sessionId?: string;
};

/** The JSON of an Open Inference Protocol request. */
export type InferRequest = RequestParameters & {
  id?: string;
  inputs: RequestedInput[];
  /** All outputs when absent. */
  outputs?: RequestedOutput[];
  /** `model_version`, on wires that have no other place for it. */
  version?: string;
};

/** A model has no more inputs or outputs than this. */
const TENSORS_MAX = 1_024;
/** Parameters of one request, input or output. */
const PARAMETERS_MAX = 64;
const RANK_MAX = 16;
/** Longest wait that can be asked for: the bound of the service is far below (µs). */
const TIMEOUT_US_MAX = 2 ** 53 - 1;
const PRIORITY_MAX = 2 ** 32 - 1;
/** Longest user and session id, as in `/predict`. */
const ID_LENGTH_MAX = 255;

function bad(message: string): AppError {
  return new AppError('invalid_request', message);
}

function unknownField(where: string, key: string): AppError {
  return new AppError('unknown_field', `${where} has a field '${key}' that is not known here; remove it.`);
}

function twice(key: string): AppError {
  return new AppError('invalid_json', `The body names "${key}" twice.`);
}

/** Reads a `parameters` object; each value is a text, a number or true or false. */
function readParameters(cursor: JsonCursor): Map<string, Parameter> {
  if (!cursor.isObject()) throw bad('parameters must be an object.');
  cursor.openObject();
  const parameters = new Map<string, Parameter>();
  for (let key = cursor.nextKey(true); key !== undefined; key = cursor.nextKey(false)) {
    if (parameters.has(key)) throw twice(key);
    if (parameters.size === PARAMETERS_MAX) throw bad(`There are at most ${PARAMETERS_MAX} parameters.`);
    const value = cursor.value();
    if (typeof value === 'object') throw bad(`Parameter "${key}" must be a text, a number, true or false.`);
    parameters.set(key, value as Parameter);
  }
  return parameters;
}

function wholeParameter(key: string, value: Parameter, max: number): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max) return value as number;
  throw bad(`Parameter "${key}" must be a whole number from 0 to ${max}.`);
}

function flagParameter(key: string, value: Parameter): boolean {
  if (typeof value === 'boolean') return value;
  throw bad(`Parameter "${key}" must be true or false.`);
}

function idParameter(key: string, value: Parameter): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= ID_LENGTH_MAX) return value;
  throw bad(`Parameter "${key}" must be a text of 1 to ${ID_LENGTH_MAX} characters.`);
}

/**
 * What the parameters of a request ask for, on any wire; parameters of the caller's own are passed over.
 * Throws `invalid_request` for a wrong value and for what is not offered here.
 */
export function requestParameters(parameters: ReadonlyMap<string, Parameter>): RequestParameters {
  const asked: RequestParameters = {};
  for (const [key, value] of parameters) {
    if (key === 'binary_data_output') asked.isBinaryOutput = flagParameter(key, value);
    else if (key === 'timeout') {
      const timeoutUs = wholeParameter(key, value, TIMEOUT_US_MAX);
      if (timeoutUs > 0) asked.deadlineMs = timeoutUs / 1000;
    } else if (key === 'priority') asked.priority = wholeParameter(key, value, PRIORITY_MAX);
    else if (key === 'user_id') asked.userId = idParameter(key, value);
    else if (key === 'session_id') asked.sessionId = idParameter(key, value);
    else if (key === 'sequence_id' || key === 'sequence_start' || key === 'sequence_end') {
      if (value !== 0 && value !== false && value !== '')
        throw bad(`Models here keep no state between requests; leave ${key} out.`);
    } else if (
      key === 'headers' ||
      (key.startsWith('triton_') && key !== 'triton_enable_empty_final_response')
    )
      throw bad(`Parameter "${key}" is reserved by the protocol; use another name.`);
  }
  return asked;
}

/**
 * What the parameters of a requested output ask for, on any wire.
 * Throws `invalid_request` for a wrong value and for what is not offered here.
 */
export function outputParameters(parameters: ReadonlyMap<string, Parameter>): Omit<RequestedOutput, 'name'> {
  const asked: Omit<RequestedOutput, 'name'> = {};
  for (const [key, value] of parameters) {
    if (key === 'binary_data') asked.isBinary = flagParameter(key, value);
    else if (key === 'classification') {
      const classes = wholeParameter(key, value, Number.MAX_SAFE_INTEGER);
      if (classes > 0) asked.classes = classes;
    } else if (key.startsWith('shared_memory_'))
      throw bad('Shared memory is not offered here; send the tensors.');
  }
  return asked;
}

/** The bytes of a binary input by its parameters. Throws `invalid_request`. */
function inputParameters(parameters: ReadonlyMap<string, Parameter>, name: string): number | undefined {
  let size: number | undefined;
  for (const [key, value] of parameters) {
    if (key === 'binary_data_size') {
      if (!Number.isSafeInteger(value) || (value as number) < 0)
        throw bad(`binary_data_size of input "${name}" must be a whole number of bytes.`);
      size = value as number;
    } else if (key.startsWith('shared_memory_'))
      throw bad('Shared memory is not offered here; send the tensors.');
  }
  return size;
}

function readShape(cursor: JsonCursor): number[] {
  const fault = () =>
    new AppError('invalid_shape', `A shape must be a list of at most ${RANK_MAX} whole numbers over 0.`);
  if (!cursor.isArray()) throw fault();
  cursor.openArray();
  const shape: number[] = [];
  let count = 1;
  while (cursor.nextElement(shape.length === 0)) {
    const size = cursor.wholeNumber();
    if (!Number.isSafeInteger(size) || (size as number) <= 0 || shape.length === RANK_MAX) throw fault();
    count *= size as number;
    shape.push(size as number);
  }
  if (!Number.isSafeInteger(count))
    throw new AppError('invalid_shape', 'The product of a shape is beyond 2^53; no tensor is so large.');
  return shape;
}

function readText(cursor: JsonCursor, what: string): string {
  if (!cursor.isText()) throw bad(`${what} must be a text.`);
  return cursor.text();
}

const NO_PARAMETERS: ReadonlyMap<string, Parameter> = new Map();

function readInput(cursor: JsonCursor): RequestedInput {
  let name: string | undefined;
  let datatype: string | undefined;
  let shape: number[] | undefined;
  let data: Member | undefined;
  let parameters: ReadonlyMap<string, Parameter> | undefined;
  if (!cursor.isObject()) throw bad('Each input is an object with a name, a shape and a datatype.');
  cursor.openObject();
  for (let key = cursor.nextKey(true); key !== undefined; key = cursor.nextKey(false)) {
    if (key === 'name' && name === undefined) name = readText(cursor, 'The name of an input');
    else if (key === 'datatype' && datatype === undefined) datatype = readText(cursor, 'A datatype');
    else if (key === 'shape' && shape === undefined) shape = readShape(cursor);
    else if (key === 'data' && data === undefined) {
      const start = cursor.at;
      cursor.skip();
      data = { key, start, end: cursor.at };
    } else if (key === 'parameters' && parameters === undefined) parameters = readParameters(cursor);
    else if (
      key === 'name' ||
      key === 'datatype' ||
      key === 'shape' ||
      key === 'data' ||
      key === 'parameters'
    )
      throw twice(key);
    else throw unknownField('An input', key);
  }
  if (name === undefined || datatype === undefined || shape === undefined)
    throw bad('Each input has a name, a shape and a datatype.');
  const binaryBytes = parameters === undefined ? undefined : inputParameters(parameters, name);
  if ((binaryBytes === undefined) === (data === undefined))
    throw bad(`Input "${name}" needs either data or parameters.binary_data_size.`);
  return data === undefined
    ? { name, datatype, shape, binaryBytes: binaryBytes as number }
    : { name, datatype, shape, data };
}

function readInputs(cursor: JsonCursor): RequestedInput[] {
  if (!cursor.isArray()) throw bad('inputs must be an array.');
  cursor.openArray();
  const inputs: RequestedInput[] = [];
  while (cursor.nextElement(inputs.length === 0)) {
    if (inputs.length === TENSORS_MAX) throw bad(`A request has at most ${TENSORS_MAX} inputs.`);
    inputs.push(readInput(cursor));
  }
  return inputs;
}

function readOutput(cursor: JsonCursor): RequestedOutput {
  let name: string | undefined;
  let parameters: ReadonlyMap<string, Parameter> | undefined;
  if (!cursor.isObject()) throw bad('Each requested output is an object with a name.');
  cursor.openObject();
  for (let key = cursor.nextKey(true); key !== undefined; key = cursor.nextKey(false)) {
    if (key === 'name' && name === undefined) name = readText(cursor, 'The name of an output');
    else if (key === 'parameters' && parameters === undefined) parameters = readParameters(cursor);
    else if (key === 'name' || key === 'parameters') throw twice(key);
    else throw unknownField('A requested output', key);
  }
  if (name === undefined) throw bad('Each requested output has a name.');
  return { name, ...outputParameters(parameters ?? NO_PARAMETERS) };
}

function readOutputs(cursor: JsonCursor): RequestedOutput[] {
  if (!cursor.isArray()) throw bad('outputs must be an array.');
  cursor.openArray();
  const outputs: RequestedOutput[] = [];
  while (cursor.nextElement(outputs.length === 0)) {
    if (outputs.length === TENSORS_MAX) throw bad(`A request has at most ${TENSORS_MAX} outputs.`);
    outputs.push(readOutput(cursor));
  }
  return outputs;
}

/**
 * Reads the JSON part of an inference request, values left unread; `takesVersion` lets it name a version. Throws
 * `invalid_json`, `unknown_field`, `invalid_request` or `invalid_shape`.
 */
export function readInferRequest(json: Buffer, takesVersion = false): InferRequest {
  const cursor = new JsonCursor(json);
  let id: string | undefined;
  let version: string | undefined;
  let inputs: RequestedInput[] | undefined;
  let outputs: RequestedOutput[] | undefined;
  let parameters: ReadonlyMap<string, Parameter> | undefined;
  if (!cursor.isObject()) throw new AppError('invalid_json', 'The body must be a JSON object.');
  cursor.openObject();
  for (let key = cursor.nextKey(true); key !== undefined; key = cursor.nextKey(false)) {
    if (key === 'inputs' && inputs === undefined) inputs = readInputs(cursor);
    else if (key === 'outputs' && outputs === undefined) outputs = readOutputs(cursor);
    else if (key === 'id' && id === undefined) id = readText(cursor, 'id');
    else if (key === 'parameters' && parameters === undefined) parameters = readParameters(cursor);
    else if (key === 'model_version' && takesVersion) {
      if (version !== undefined) throw twice(key);
      version = readText(cursor, 'model_version');
    } else if (key === 'inputs' || key === 'outputs' || key === 'id' || key === 'parameters')
      throw twice(key);
    // KServe's client repeats the path in the body; the path decides
    else if (key === 'model_name' || key === 'model_version') cursor.value();
    else throw unknownField('The request', key);
  }
  cursor.end();
  if (inputs === undefined) throw bad('The request has no inputs.');
  const request: InferRequest =
    parameters === undefined ? { inputs } : { ...requestParameters(parameters), inputs };
  if (id !== undefined) request.id = id;
  if (version !== undefined) request.version = version;
  if (outputs !== undefined && outputs.length > 0) request.outputs = outputs;
  return request;
}
