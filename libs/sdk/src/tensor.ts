import { AppError } from '@millrace/contracts';

/** A number array whose bytes are those of a tensor. */
export type NumericArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

type ArrayType = {
  new (length: number): NumericArray;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): NumericArray;
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
};

const arrays = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Record<string, ArrayType>;

type NumericDatatype = keyof typeof arrays;
/** Element types of the Open Inference Protocol. */
export type Datatype = NumericDatatype | 'BYTES';

/**
 * A dense tensor, row-major. `data` has as many elements as the product of `shape`: texts for BYTES, 0 and 1 for BOOL, the
 * bits for FP16, else the typed array of the datatype.
 */
export type Tensor = {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: NumericArray | readonly string[];
};

const MAX_LENGTH = 0xffff_ffff;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Whether a text of a server is a type that is known here. */
export function isDatatype(value: unknown): value is Datatype {
  return value === 'BYTES' || (typeof value === 'string' && Object.hasOwn(arrays, value));
}

/** The typed array of a datatype. */
export function arrayTypeOf(datatype: NumericDatatype): ArrayType {
  return arrays[datatype];
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Throws `invalid_shape` or `invalid_type` where data, shape and datatype of a tensor contradict each other. */
export function assertTensor({ name, datatype, shape, data }: Tensor): void {
  if (!isDatatype(datatype))
    throw new AppError('invalid_type', `Tensor "${name}": ${String(datatype)} is no datatype.`);
  const isOfType = datatype === 'BYTES' ? Array.isArray(data) : data instanceof arrays[datatype];
  if (!isOfType) {
    const wanted = datatype === 'BYTES' ? 'an array of texts' : `a ${arrays[datatype].name}`;
    throw new AppError('invalid_type', `Tensor "${name}" is ${datatype}, so its data must be ${wanted}.`);
  }
  if (data.length === elementCount(shape)) return;
  throw new AppError(
    'invalid_shape',
    `Tensor "${name}" has ${data.length} values; its shape [${shape.join(', ')}] takes ${elementCount(shape)}.`,
  );
}

/** The values of a tensor as they go over the wire, little-endian; numbers without a copy. */
export function toBytes({ name, data }: Tensor): Uint8Array {
  if (!Array.isArray(data)) {
    const { buffer, byteOffset, byteLength } = data as NumericArray;
    return new Uint8Array(buffer, byteOffset, byteLength);
  }
  const texts = (data as readonly string[]).map((text) => new TextEncoder().encode(text));
  const length = texts.reduce((total, text) => total + 4 + text.length, 0);
  if (length > MAX_LENGTH) throw new AppError('payload_too_large', `Tensor "${name}" is over 4 GiB.`);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const text of texts) {
    view.setUint32(at, text.length, true);
    bytes.set(text, at + 4);
    at += 4 + text.length;
  }
  return bytes;
}

function textsOf(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + view.getUint32(at, true);
    texts.push(utf8.decode(bytes.subarray(at + 4, end)));
    at = end;
  }
  return texts;
}

/** The values in bytes of the wire: a view where they are aligned for their type, else a copy. */
export function fromBytes(datatype: Datatype, bytes: Uint8Array): Tensor['data'] {
  if (datatype === 'BYTES') return textsOf(bytes);
  const type: ArrayType = arrays[datatype];
  const isAligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0;
  const { buffer, byteOffset } = isAligned ? bytes : bytes.slice();
  return new type(buffer, byteOffset, bytes.byteLength / type.BYTES_PER_ELEMENT);
}

/** The values as JSON has them; whole numbers beyond 2^53 as texts. Throws `invalid_type` for FP16, which JSON lacks. */
export function toJsonValues({ name, datatype, data }: Tensor): unknown[] {
  if (datatype === 'FP16')
    throw new AppError(
      'invalid_type',
      `Tensor "${name}" is FP16, which has no JSON form; send it as binary.`,
    );
  if (datatype === 'BOOL') return Array.from(data as Uint8Array, (value) => value !== 0);
  return Array.from(data as ArrayLike<unknown>, (value) =>
    typeof value !== 'bigint' ? value : Number.isSafeInteger(Number(value)) ? Number(value) : String(value),
  );
}

/** The values of a tensor that came as JSON, nested or flat. */
export function fromJsonValues(datatype: Datatype, values: unknown): Tensor['data'] {
  const flat = Array.isArray(values) ? (values.flat(Number.POSITIVE_INFINITY) as unknown[]) : [values];
  if (datatype === 'BYTES') return flat.map(String);
  const array: NumericArray = new arrays[datatype](flat.length);
  const isWide = array instanceof BigInt64Array || array instanceof BigUint64Array;
  for (const [i, value] of flat.entries())
    array[i] = (isWide ? BigInt(value as string | number) : Number(value)) as never;
  return array;
}
