/** Element types of tensors between steps, as the runtime has them. */
export type ElementType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'bool'
  | 'string';

/** Type and shape of a tensor before it exists; `null` is a size that is known only at run time. */
export type ValueSpec = { readonly dtype: ElementType; readonly shape: readonly (number | null)[] };
/** The same with a name: an input or output of a model or of the ensemble. */
export type NamedSpec = ValueSpec & { readonly name: string };
/** What a model takes and gives. */
export type Signature = { readonly inputs: readonly NamedSpec[]; readonly outputs: readonly NamedSpec[] };

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;
type Arrays = typeof arrays;

/** Memory of a numeric tensor; float16 is held as its bits, bool as 0 or 1. */
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

/** A dense tensor, row-major. */
export type Value =
  | {
      readonly dtype: Exclude<ElementType, 'string'>;
      readonly shape: readonly number[];
      readonly data: NumericData;
    }
  | { readonly dtype: 'string'; readonly shape: readonly number[]; readonly data: readonly string[] };

/** Zeroed memory for a numeric tensor of `shape`. */
export function newData<D extends keyof Arrays>(dtype: D, shape: readonly number[]): InstanceType<Arrays[D]> {
  return new arrays[dtype](countOf(shape)) as InstanceType<Arrays[D]>;
}

/** Number of elements of a shape; 1 for a scalar. */
export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A shape as people read it: `[N, 224, 224, 3]`. */
export function showShape(shape: readonly (number | null)[]): string {
  return `[${shape.map((size) => size ?? 'N').join(', ')}]`;
}

/** A tensor along one axis: lanes of `size` elements that lie `inner` apart, `outer` blocks of them. */
export type Lanes = { readonly outer: number; readonly size: number; readonly inner: number };

export function lanesOf(shape: readonly number[], axis: number): Lanes {
  return {
    outer: countOf(shape.slice(0, axis)),
    size: shape[axis] as number,
    inner: countOf(shape.slice(axis + 1)),
  };
}
