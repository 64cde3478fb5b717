import { AppError } from '@millrace/contracts';
import type { DType } from './dtype.ts';
import { dtypeInfo } from './dtype.ts';
import type { IntegerTarget } from './integer-reader.ts';
import { exactWhole, isIntegerType, readIntegerArray } from './integer-reader.ts';
import { parseSlice } from './json-cursor.ts';
import type { FloatTarget } from './number-reader.ts';
import { readNumberArray } from './number-reader.ts';
import type { Member } from './predict-body.ts';
import { objectMembers } from './predict-body.ts';
import { resolveShape } from './shape.ts';
import type { ModelSignature, Tensor, TensorSpec } from './tensor.ts';
import { showShape } from './tensor.ts';
import { notFinite, tensorFromJson } from './tensor-from-json.ts';

const OPEN_ARRAY = 91;
const UNREADABLE_NUMBER = /(?<=^|[[,\s])[-+]?(?:NaN|Infinity|inf)\b/;

/** Where tensors get their memory. */
export type TakeMemory = (bytes: number) => ArrayBuffer;

/** A value in JSON takes at least two bytes (a digit and a comma). */
const BYTES_PER_VALUE = 2;

/** Memory for one row, or for as many values as the text can hold, if that is less. */
function targetFor(spec: TensorSpec, textBytes: number, take: TakeMemory): FloatTarget | IntegerTarget {
  const oneRow = spec.shape.reduce<number>((product, size) => product * (size ?? 1), 1);
  const length = Math.min(oneRow, Math.ceil(textBytes / BYTES_PER_VALUE));
  const { array } = dtypeInfo(spec.dtype as 'float32');
  return new array(take(length * array.BYTES_PER_ELEMENT), 0, length) as FloatTarget | IntegerTarget;
}

/** Of float32: a sum of the exponent's highest value and 1 in its place carries into the sign, any less does not. */
function isAllFinite32(data: Float32Array): boolean {
  const { length } = data;
  const bits = new Int32Array(data.buffer, data.byteOffset, length);
  let seen = 0;
  for (let i = 0; i < length; i += 1) seen |= ((bits[i] as number) & 0x7fffffff) + 0x00800000;
  return seen >= 0;
}

/** Of float64, whose sign and exponent are in the higher word: the second of each, on the machines that we run on. */
function isAllFinite64(data: Float64Array): boolean {
  const words = 2 * data.length;
  const bits = new Int32Array(data.buffer, data.byteOffset, words);
  let seen = 0;
  for (let i = 1; i < words; i += 2) seen |= ((bits[i] as number) & 0x7fffffff) + 0x00100000;
  return seen >= 0;
}

/** Of float16, held as its bits. */
function isAllFinite16(bits: Uint16Array): boolean {
  const { length } = bits;
  let seen = 0;
  for (let i = 0; i < length; i += 1) seen |= ((bits[i] as number) & 0x7fff) + 0x0400;
  return seen < 0x8000;
}

/** Index of the first NaN or infinite value of a float tensor; -1 when all are finite or the type has none. */
export function indexNotFinite({ dtype, data }: { dtype: DType; data: Tensor['data'] }): number {
  switch (dtype) {
    case 'float16': {
      const bits = data as Uint16Array;
      return isAllFinite16(bits) ? -1 : bits.findIndex((one) => (one & 0x7c00) === 0x7c00);
    }
    case 'float32':
    case 'float64': {
      const values = data as FloatTarget;
      const isAllFinite = values instanceof Float32Array ? isAllFinite32(values) : isAllFinite64(values);
      return isAllFinite ? -1 : values.findIndex((value) => !Number.isFinite(value));
    }
    default:
      return -1;
  }
}

/** Bound of the elements of one input, and where their memory comes from. */
export type ReadLimits = { readonly elementsMax: number; readonly take: TakeMemory };

/** The fast path: plain numbers into typed memory. Undefined when JSON.parse has to decide. */
function readNumbers(
  bytes: Buffer,
  member: Member,
  spec: TensorSpec,
  limits: ReadLimits,
): Tensor | undefined {
  const { dtype } = spec;
  const { start, end } = member;
  const isFloat = dtype === 'float32' || dtype === 'float64';
  if (bytes[start] !== OPEN_ARRAY || !(isFloat || isIntegerType(dtype))) return undefined;
  const target = targetFor(spec, end - start, limits.take);
  const read = isFloat
    ? readNumberArray(bytes, start, target as FloatTarget, limits.elementsMax)
    : readIntegerArray(bytes, start, dtype, target as IntegerTarget, limits.elementsMax);
  if (read === undefined || read.end !== end) return undefined;
  const shape = resolveShape(spec, read.shape, read.data.length);
  const index = read.isAllFinite ? -1 : indexNotFinite({ dtype, data: read.data });
  if (index >= 0) throw notFinite(spec, index);
  return { name: spec.name, dtype, shape, data: read.data } as Tensor;
}

/** One value of JSON; a single whole number is read from its digits, so that none is rounded. */
function parseValue(bytes: Buffer, member: Member, spec: TensorSpec): unknown {
  const value = parseSlice(bytes, member.start, member.end);
  if (typeof value !== 'number' || !isIntegerType(spec.dtype)) return value;
  return exactWhole(bytes.toString('latin1', member.start, member.end).trim()) ?? Number.NaN;
}

function readSlow(bytes: Buffer, member: Member, spec: TensorSpec): Tensor {
  try {
    const tensor = tensorFromJson(spec, parseValue(bytes, member, spec));
    // the fast path takes every list of whole numbers: what is left here was rounded by JSON.parse
    if (!isIntegerType(spec.dtype) || bytes[member.start] !== OPEN_ARRAY) return tensor;
    throw new AppError(
      'invalid_type',
      `Input "${spec.name}" takes ${spec.dtype}; a value is not exactly a whole number of its range.`,
    );
  } catch (error) {
    // Python writes NaN and Infinity, which JSON does not have: say that, not "invalid JSON"
    const text = bytes.toString('latin1', member.start, member.end);
    const at = text.search(UNREADABLE_NUMBER);
    if (!(error instanceof AppError) || error.code !== 'invalid_json' || at < 0) throw error;
    throw notFinite(spec, text.slice(0, at).split(',').length - 1);
  }
}

/** Checks that exactly the inputs of the model are there. Throws `missing_input` or `extra_input`. */
export function assertInputNames(signature: ModelSignature, names: readonly string[]): void {
  const [only, ...more] = signature.inputs;
  if (names.length === 1 && more.length === 0 && names[0] === only?.name) return;
  const known = signature.inputs.map((spec) => spec.name);
  const extra = names.find((name) => !known.includes(name));
  if (extra !== undefined) {
    throw new AppError('extra_input', `The model has no input "${extra}"; it takes ${known.join(', ')}.`);
  }
  const missing = signature.inputs.find((spec) => !names.includes(spec.name));
  if (missing !== undefined) {
    throw new AppError(
      'missing_input',
      `Input "${missing.name}" (${missing.dtype} ${showShape(missing.shape)}) is missing.`,
    );
  }
}

/** The one number of rows that all inputs have. Throws `invalid_shape` when they differ, `batch_too_large` over the bound. */
export function rowCount(signature: ModelSignature, inputs: readonly Tensor[], rowsMax: number): number {
  let count = 1;
  for (const [i, spec] of signature.inputs.entries()) {
    if (spec.shape[0] !== null) continue;
    const own = inputs[i]?.shape[0] as number;
    const before = signature.inputs.findIndex(
      (other) => other.shape[0] === null && other.rowSymbol === spec.rowSymbol,
    );
    const others = inputs[before]?.shape[0] as number;
    if (own !== others) {
      throw new AppError('invalid_shape', `Input "${spec.name}" has ${own} rows and another has ${others}.`);
    }
    count = Math.max(count, own);
  }
  if (count > rowsMax) {
    throw new AppError(
      'batch_too_large',
      `The request has ${count} rows; at most ${rowsMax} go in one. Split it.`,
    );
  }
  return count;
}

/** Reads one value of JSON, flat or nested, into an input. Throws `invalid_shape`, `invalid_type` or `not_finite`. */
export function readInput(bytes: Buffer, member: Member, spec: TensorSpec, limits: ReadLimits): Tensor {
  return readNumbers(bytes, member, spec, limits) ?? readSlow(bytes, member, spec);
}

/** Reads the `features` object at `at` into the model's inputs, in the model's order. */
export function readInputs(
  bytes: Buffer,
  at: number,
  signature: ModelSignature,
  limits: ReadLimits,
): Tensor[] {
  const { members } = objectMembers(bytes, at);
  assertInputNames(
    signature,
    members.map((member) => member.key),
  );
  return signature.inputs.map((spec) => {
    const member = members.find(({ key }) => key === spec.name) as Member;
    return readInput(bytes, member, spec, limits);
  });
}
