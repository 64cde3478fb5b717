import { AppError } from '@millrace/contracts';
import type { NumericArray, Tensor } from './tensor.ts';
import { arrayTypeOf, assertTensor, elementCount, isDatatype } from './tensor.ts';

/** Numbers, truth values or texts in nested arrays, as JSON has them. */
export type NestedValues = number | bigint | boolean | string | readonly NestedValues[];
/** An input: a typed array, nested values, or a tensor that says its type and shape. */
export type TensorInput = NumericArray | NestedValues | Omit<Tensor, 'name'>;

/** What a model says of an input; a dimension of -1 may have any size. */
export type InputSpec = {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
};

const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  INT8: [-128, 127],
  INT16: [-32_768, 32_767],
  INT32: [-2_147_483_648, 2_147_483_647],
  UINT8: [0, 255],
  UINT16: [0, 65_535],
  UINT32: [0, 4_294_967_295],
};
const WIDE_RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
};

/** Whether an input says its own type and shape, so that the model need not be asked. */
export function isWhole(input: TensorInput): input is Omit<Tensor, 'name'> {
  return typeof input === 'object' && 'datatype' in input && 'shape' in input && 'data' in input;
}

function wrongShape(spec: InputSpec, got: string): AppError {
  const shape = spec.shape.map((size) => (size < 0 ? 'N' : size)).join(', ');
  return new AppError('invalid_shape', `Input "${spec.name}" takes [${shape}], not ${got}.`);
}

/** The shape of `count` values in a row: what is free is found by division. */
function divided(spec: InputSpec, count: number): number[] {
  const fixed = elementCount(spec.shape.filter((size) => size >= 0));
  const free = spec.shape.filter((size) => size < 0).length;
  if (free > 1)
    throw new AppError(
      'invalid_shape',
      `Input "${spec.name}" has ${free} free dimensions; give it as { datatype, shape, data }.`,
    );
  const rest = count / fixed;
  if (free === 0 ? rest !== 1 : !Number.isInteger(rest) || rest === 0)
    throw wrongShape(spec, `${count} values`);
  return spec.shape.map((size) => (size < 0 ? rest : size));
}

function shapeOf(values: NestedValues): number[] {
  const shape: number[] = [];
  for (let level = values; Array.isArray(level); level = level[0] as NestedValues) shape.push(level.length);
  return shape;
}

/** All values in order. Throws `invalid_shape` when rows are not of one length. */
function flatten(spec: InputSpec, values: NestedValues, shape: readonly number[]): unknown[] {
  const flat = Array.isArray(values) ? (values.flat(Number.POSITIVE_INFINITY) as unknown[]) : [values];
  const isEven = (level: NestedValues, depth: number): boolean =>
    Array.isArray(level)
      ? level.length === shape[depth] && level.every((item) => isEven(item as NestedValues, depth + 1))
      : depth === shape.length;
  if (isEven(values, 0)) return flat;
  throw new AppError('invalid_shape', `Input "${spec.name}" has rows of different lengths.`);
}

/** The shape of nested values: as they are nested, or one row without the dimension of rows, or divided where flat. */
function nestedShape(spec: InputSpec, shape: number[], count: number): number[] {
  const rank = spec.shape.length;
  if (shape.length === rank && rank > 0) return shape;
  if (shape.length === rank - 1 && shape.length > 0 && (spec.shape[0] as number) < 0) {
    const isRow = shape.every((size, axis) => {
      const wanted = spec.shape[axis + 1] as number;
      return wanted < 0 || wanted === size;
    });
    if (isRow) return [1, ...shape];
  }
  if (shape.length <= 1) return divided(spec, count);
  throw wrongShape(spec, `[${shape.join(', ')}]`);
}

function convert(spec: InputSpec, value: unknown, index: number): number | bigint {
  const { name, datatype } = spec;
  const wide = WIDE_RANGES[datatype];
  const fault = () =>
    new AppError('invalid_type', `Input "${name}" takes ${datatype}; value ${index} is ${String(value)}.`);
  if (datatype === 'BOOL') {
    if (typeof value !== 'boolean') throw fault();
    return Number(value);
  }
  if (wide !== undefined) {
    const isWholeNumber = typeof value === 'bigint' || Number.isSafeInteger(value);
    const whole = isWholeNumber ? BigInt(value as number | bigint) : undefined;
    if (whole === undefined || whole < wide[0] || whole > wide[1]) throw fault();
    return whole;
  }
  if (typeof value !== 'number') throw fault();
  const range = RANGES[datatype];
  if (range !== undefined && !(Number.isInteger(value) && value >= range[0] && value <= range[1]))
    throw fault();
  return value;
}

function fromNested(spec: InputSpec, values: NestedValues): Tensor {
  const { name, datatype } = spec;
  if (!isDatatype(datatype) || datatype === 'FP16')
    throw new AppError(
      'invalid_type',
      `Input "${name}" takes ${datatype}; give it as { datatype, shape, data }.`,
    );
  const nested = shapeOf(values);
  const flat = flatten(spec, values, nested);
  const shape = nestedShape(spec, nested, flat.length);
  if (datatype === 'BYTES') {
    const other = flat.findIndex((value) => typeof value !== 'string');
    if (other < 0) return { name, datatype, shape, data: flat as string[] };
    throw new AppError('invalid_type', `Input "${name}" takes texts; value ${other} is none.`);
  }
  const data = new (arrayTypeOf(datatype))(flat.length);
  for (const [i, value] of flat.entries()) data[i] = convert(spec, value, i) as never;
  return { name, datatype, shape, data };
}

function fromArray(spec: InputSpec, array: NumericArray): Tensor {
  const { name, datatype } = spec;
  const shape = divided(spec, array.length);
  // numbers in JavaScript are doubles, which most models do not take
  const data = datatype === 'FP32' && array instanceof Float64Array ? Float32Array.from(array) : array;
  const tensor = { name, datatype, shape, data } as Tensor;
  assertTensor(tensor);
  return tensor;
}

/**
 * The tensor of an input that the model says `spec` of. Throws `invalid_type` or `invalid_shape`: no value is rounded or
 * cut to fit, but doubles become floats.
 */
export function toTensor(spec: InputSpec, input: TensorInput): Tensor {
  if (ArrayBuffer.isView(input)) return fromArray(spec, input as NumericArray);
  if (!isWhole(input)) return fromNested(spec, input as NestedValues);
  const tensor = { name: spec.name, datatype: input.datatype, shape: input.shape, data: input.data };
  assertTensor(tensor);
  return tensor;
}
