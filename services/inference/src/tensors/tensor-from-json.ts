import { AppError } from '@millrace/contracts';
import type { DType, NumericData } from './dtype.ts';
import { allocate, dtypeInfo } from './dtype.ts';
import type { IntegerType } from './integer-reader.ts';
import { WHOLE_RANGES } from './integer-reader.ts';
import { resolveShape } from './shape.ts';
import type { Tensor, TensorSpec } from './tensor.ts';
import { elementCount, showShape } from './tensor.ts';

/** Deeper nesting than any tensor has. */
const DEPTH_MAX = 16;
const WHOLE = /^-?\d{1,20}$/;

function typeFault(spec: TensorSpec, index: number, value: unknown): AppError {
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : String(value).slice(0, 40);
  const got = value === null ? 'null' : `${shown} (${typeof value})`;
  const hint =
    spec.dtype === 'int64' || spec.dtype === 'uint64'
      ? ' Give a whole number of its range; as a text where your language rounds beyond 2^53.'
      : '';
  return new AppError(
    'invalid_type',
    `Input "${spec.name}" takes ${spec.dtype}; value ${index} is ${got}.${hint}`,
  );
}

/**
 * Refuses a text that would not reach the model as it is: half of a surrogate pair has no UTF-8, and the runtime ends a
 * text at its first NUL. Throws `invalid_type`.
 */
export function assertServableText(input: string, index: number, text: string): void {
  if (text.isWellFormed() && !text.includes('\0')) return;
  const why = text.isWellFormed()
    ? 'holds a NUL character, where the runtime would end it'
    : 'is not valid Unicode';
  throw new AppError('invalid_type', `Text ${index} of input "${input}" ${why}.`);
}

/** The error for a value that is not finite or is too large for its type. */
export function notFinite(spec: TensorSpec, index: number): AppError {
  return new AppError(
    'not_finite',
    `Input "${spec.name}" has NaN, Infinity or a number too large for ${spec.dtype} at index ${index}.`,
    { details: { input: spec.name, index } },
  );
}

function wholeBig(spec: TensorSpec, index: number, value: unknown): bigint {
  const [low, high] = WHOLE_RANGES[spec.dtype as IntegerType];
  const isExact =
    typeof value === 'number'
      ? Number.isSafeInteger(value)
      : typeof value === 'bigint' || (typeof value === 'string' && WHOLE.test(value));
  if (!isExact) throw typeFault(spec, index, value);
  const whole = BigInt(value as number | string | bigint);
  if (whole < low || whole > high) throw typeFault(spec, index, value);
  return whole;
}

function writeNumber(spec: TensorSpec, data: NumericData, index: number, given: unknown): void {
  const value = typeof given === 'bigint' ? Number(given) : given;
  if (typeof value !== 'number') throw typeFault(spec, index, value);
  const { range } = dtypeInfo(spec.dtype as Exclude<DType, 'string'>);
  if (range !== undefined && (!Number.isInteger(value) || value < range[0] || value > range[1])) {
    throw typeFault(spec, index, value);
  }
  data[index] = value;
  if (!Number.isFinite(data[index] as number)) throw notFinite(spec, index);
}

function toData(spec: TensorSpec, values: readonly unknown[]): NumericData | string[] {
  const { dtype } = spec;
  if (dtype === 'string') {
    return values.map((value, index) => {
      if (typeof value !== 'string') throw typeFault(spec, index, value);
      assertServableText(spec.name, index, value);
      return value;
    });
  }
  if (dtype === 'float16') {
    throw new AppError(
      'invalid_type',
      `Input "${spec.name}" takes float16, which has no JSON form; send it as a binary tensor.`,
    );
  }
  const data = allocate(dtype, values.length);
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (dtype === 'bool') {
      if (typeof value !== 'boolean') throw typeFault(spec, index, value);
      data[index] = value ? 1 : 0;
    } else if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
      data[index] = wholeBig(spec, index, value);
    } else writeNumber(spec, data, index, value);
  }
  return data;
}

/** Flattens nested arrays and gives the shape they have; every level must be even. */
function flatten(spec: TensorSpec, value: unknown): { values: unknown[]; shape: number[] } {
  if (!Array.isArray(value)) return { values: [value], shape: [] };
  const shape: number[] = [];
  let level: unknown[] = value;
  for (let depth = 0; ; depth += 1) {
    shape.push(depth === 0 ? level.length : (level.length / (shape.reduce((a, b) => a * b, 1) || 1)) | 0);
    if (!Array.isArray(level[0]) || depth >= DEPTH_MAX) break;
    const size = level[0].length;
    for (const item of level) {
      if (!Array.isArray(item) || item.length !== size) {
        throw new AppError(
          'invalid_shape',
          `Input "${spec.name}" is ragged: its nested arrays differ in length at depth ${depth + 1}.`,
        );
      }
    }
    level = (level as unknown[][]).flat();
  }
  return { values: level, shape };
}

/**
 * Makes a tensor from parsed JSON: flat or nested arrays, or one value for a single element.
 * Throws `invalid_shape`, `invalid_type` or `not_finite` naming input and index.
 */
export function tensorFromJson(spec: TensorSpec, value: unknown): Tensor {
  const { values, shape: given } = flatten(spec, value);
  if (values.some((item) => Array.isArray(item))) {
    throw new AppError('invalid_shape', `Input "${spec.name}" mixes arrays and values on one level.`);
  }
  const shape = resolveShape(spec, given, values.length);
  if (elementCount(shape) !== values.length) {
    throw new AppError('invalid_shape', `Input "${spec.name}" does not fit ${showShape(spec.shape)}.`);
  }
  return { name: spec.name, dtype: spec.dtype, shape, data: toData(spec, values) } as Tensor;
}
