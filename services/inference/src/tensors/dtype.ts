import type { ElementType } from '@millrace/ensemble';

/** Element types that the runtime and our wires share. */
export type DType = ElementType;

/** Memory of a tensor that is not of strings; float16 is held as its bits, bool as 0 or 1. */
export type NumericData =
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

type NumericArrayConstructor = {
  new (length: number): NumericData;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): NumericData;
  readonly BYTES_PER_ELEMENT: number;
};

type DTypeInfo = {
  /** Name of the type in the Open Inference Protocol. */
  readonly protocol: string;
  readonly array: NumericArrayConstructor;
  /** Inclusive bounds of a whole-number type that fits a double. */
  readonly range?: readonly [number, number];
};

const numeric: Record<Exclude<DType, 'string'>, DTypeInfo> = {
  float32: { protocol: 'FP32', array: Float32Array },
  float64: { protocol: 'FP64', array: Float64Array },
  float16: { protocol: 'FP16', array: Uint16Array },
  int8: { protocol: 'INT8', array: Int8Array, range: [-128, 127] },
  int16: { protocol: 'INT16', array: Int16Array, range: [-32_768, 32_767] },
  int32: { protocol: 'INT32', array: Int32Array, range: [-2_147_483_648, 2_147_483_647] },
  int64: { protocol: 'INT64', array: BigInt64Array },
  uint8: { protocol: 'UINT8', array: Uint8Array, range: [0, 255] },
  uint16: { protocol: 'UINT16', array: Uint16Array, range: [0, 65_535] },
  uint32: { protocol: 'UINT32', array: Uint32Array, range: [0, 4_294_967_295] },
  uint64: { protocol: 'UINT64', array: BigUint64Array },
  bool: { protocol: 'BOOL', array: Uint8Array },
};

/** What is known of a type that is not `string`. */
export function dtypeInfo(dtype: Exclude<DType, 'string'>): DTypeInfo {
  return numeric[dtype];
}

/** Whether a text of the runtime names a type that we serve. */
export function isDType(value: string): value is DType {
  return value === 'string' || Object.hasOwn(numeric, value);
}

/** The Open Inference Protocol's name of a type (`FP32`, `BYTES`, …). */
export function protocolName(dtype: DType): string {
  return dtype === 'string' ? 'BYTES' : numeric[dtype].protocol;
}

/** Bytes of one element; a string has none. */
export function bytesPerElement(dtype: Exclude<DType, 'string'>): number {
  return numeric[dtype].array.BYTES_PER_ELEMENT;
}

/** Zeroed memory for `length` elements. */
export function allocate(dtype: Exclude<DType, 'string'>, length: number): NumericData {
  return new numeric[dtype].array(length);
}

/** A view of `length` elements at `byteOffset`, or a copy where the offset is not aligned for the type. */
export function viewBytes(dtype: Exclude<DType, 'string'>, bytes: Uint8Array, length: number): NumericData {
  const { array } = numeric[dtype];
  if (bytes.byteOffset % array.BYTES_PER_ELEMENT === 0)
    return new array(bytes.buffer, bytes.byteOffset, length);
  // not slice(): that of a Buffer is a view
  return new array(new Uint8Array(bytes).buffer, 0, length);
}
