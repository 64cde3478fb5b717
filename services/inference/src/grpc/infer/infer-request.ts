import { AppError } from '@millrace/contracts';
import type { Parameter } from '../../v2/infer-request.ts';
import { malformed, WIRE, WireReader } from '../wire-reader.ts';

/** A model has no more inputs or outputs than this. */
const TENSORS_MAX = 1_024;
/** Dimensions of a tensor, as over HTTP. */
const RANK_MAX = 16;
/** Parameters of a request or a tensor. */
const PARAMETERS_MAX = 64;
/** Tag of `raw_input_contents`. */
const RAW_TAG = 0x3a;

/** Parameters by name; a whole number beyond 2^53 is not exact, and never a safe integer. */
export type Parameters = Map<string, Parameter>;

/** An input as it was sent; its values are still unread. */
export type GrpcInput = {
  name: string;
  datatype: string;
  shape: number[];
  parameters: Parameters | undefined;
  /** Start and end of `contents` in the message. */
  contents: { at: number; end: number } | undefined;
};

export type GrpcOutput = { name: string; parameters: Parameters | undefined };

/** A ModelInferRequest; `raw` are views of the message. */
export type GrpcInferRequest = {
  model: string;
  version: string;
  id: string;
  parameters: Parameters | undefined;
  inputs: GrpcInput[];
  outputs: GrpcOutput[];
  raw: Buffer[];
};

function tooMany(what: string, max: number): AppError {
  return new AppError('invalid_request', `A request has at most ${max} ${what}.`);
}

/** Runs `read` on the message within the message, and leaves the reader after it. */
function within<T>(reader: WireReader, read: (reader: WireReader) => T): T {
  const end = reader.span();
  const outer = reader.end;
  reader.end = end;
  const value = read(reader);
  reader.end = outer;
  return value;
}

function readParameter(reader: WireReader): Parameter {
  let value: Parameter | undefined;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) {
      reader.expect(WIRE.varint);
      value = reader.unsigned() !== 0;
    } else if (field === 2) {
      reader.expect(WIRE.varint);
      value = reader.signed();
    } else if (field === 3) value = reader.text();
    else if (field === 4) {
      reader.expect(WIRE.fixed64);
      value = reader.bytes.readDoubleLE(reader.pass(8));
    } else if (field === 5) {
      reader.expect(WIRE.varint);
      value = reader.unsigned();
    } else reader.skip();
  }
  if (value === undefined) throw new AppError('invalid_request', 'A parameter has no value.');
  return value;
}

/** Adds one entry of a map of parameters. */
function readParameters(reader: WireReader, parameters: Parameters | undefined): Parameters {
  const all = parameters ?? new Map<string, Parameter>();
  within(reader, () => {
    let key = '';
    let value: Parameter | undefined;
    for (let field = reader.field(); field !== 0; field = reader.field()) {
      if (field === 1) key = reader.text();
      else if (field === 2) value = within(reader, readParameter);
      else reader.skip();
    }
    if (value === undefined) throw new AppError('invalid_request', `Parameter "${key}" has no value.`);
    all.set(key, value);
  });
  if (all.size > PARAMETERS_MAX) throw tooMany('parameters', PARAMETERS_MAX);
  return all;
}

function readShape(reader: WireReader, shape: number[]): void {
  if (reader.wireType === WIRE.varint) shape.push(reader.signed());
  else
    within(reader, () => {
      while (reader.at < reader.end) {
        shape.push(reader.signed());
        if (shape.length > RANK_MAX) break;
      }
      if (shape.length <= RANK_MAX) return;
      throw new AppError('invalid_shape', `A shape has at most ${RANK_MAX} dimensions.`);
    });
}

function readInput(reader: WireReader): GrpcInput {
  const input: GrpcInput = { name: '', datatype: '', shape: [], parameters: undefined, contents: undefined };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) input.name = reader.text();
    else if (field === 2) input.datatype = reader.text();
    else if (field === 3) readShape(reader, input.shape);
    else if (field === 4) input.parameters = readParameters(reader, input.parameters);
    else if (field === 5) {
      if (input.contents !== undefined) throw malformed('an input has its contents twice');
      const end = reader.span();
      input.contents = { at: reader.at, end };
      reader.at = end;
    } else reader.skip();
  }
  return input;
}

function readOutput(reader: WireReader): GrpcOutput {
  const output: GrpcOutput = { name: '', parameters: undefined };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) output.name = reader.text();
    else if (field === 2) output.parameters = readParameters(reader, output.parameters);
    else reader.skip();
  }
  return output;
}

/** Reads a ModelInferRequest, values left where they are. Throws `invalid_request` or `invalid_shape`. */
export function readInferRequest(bytes: Buffer): GrpcInferRequest {
  const reader = new WireReader(bytes);
  const request: GrpcInferRequest = {
    model: '',
    version: '',
    id: '',
    parameters: undefined,
    inputs: [],
    outputs: [],
    raw: [],
  };
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) request.model = reader.text();
    else if (field === 2) request.version = reader.text();
    else if (field === 3) request.id = reader.text();
    else if (field === 4) request.parameters = readParameters(reader, request.parameters);
    else if (field === 5) request.inputs.push(within(reader, readInput));
    else if (field === 6) request.outputs.push(within(reader, readOutput));
    else if (field === 7) request.raw.push(reader.view());
    else reader.skip();
    const count = Math.max(request.inputs.length, request.outputs.length, request.raw.length);
    if (count > TENSORS_MAX) throw tooMany('inputs or outputs', TENSORS_MAX);
  }
  return request;
}

/**
 * Where the first raw tensor of a message begins, if the beginning of the message shows it: memory for the message is
 * then laid out so that the tensor is aligned and needs no copy.
 */
export function rawTensorOffset(beginning: Buffer): number {
  const reader = new WireReader(beginning);
  try {
    while (reader.at < beginning.length) {
      const isRaw = beginning[reader.at] === RAW_TAG;
      reader.varint();
      const length = reader.unsigned();
      if (isRaw) return reader.at;
      reader.pass(length);
    }
  } catch {
    // cut off: the fault of a message that is not valid is found when the whole of it is read
  }
  return 0;
}
