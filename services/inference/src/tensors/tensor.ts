import type { DType, NumericData } from './dtype.ts';

/** A named dense tensor, row-major. `shape` counts elements; the data has exactly their product. */
export type Tensor =
  | {
      readonly name: string;
      readonly dtype: Exclude<DType, 'string'>;
      readonly shape: readonly number[];
      readonly data: NumericData;
    }
  | {
      readonly name: string;
      readonly dtype: 'string';
      readonly shape: readonly number[];
      readonly data: readonly string[];
    };

/** An input or output of a model; a `null` dimension may have any size. */
export type TensorSpec = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | null)[];
  /** The model's own name of a free first dimension; inputs that share it have the same number of rows. */
  readonly rowSymbol?: string;
};

/** What a model takes and gives, in its own order. */
export type ModelSignature = {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
};

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A shape as people read it: `[N, 224, 224, 3]`. */
export function showShape(shape: readonly (number | null)[]): string {
  return `[${shape.map((size) => size ?? 'N').join(', ')}]`;
}

/** Bytes that a tensor's values take; strings count as UTF-16. */
export function tensorBytes(tensor: Tensor): number {
  if (tensor.dtype !== 'string') return tensor.data.byteLength;
  return tensor.data.reduce((total, text) => total + text.length * 2, 0);
}

/** The values of a numeric tensor as bytes, little-endian, without a copy. */
export function rawBytes(data: NumericData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Whether the first dimension of every input and output is free, so that rows of several requests can be joined. */
export function hasBatchAxis(signature: ModelSignature): boolean {
  const all = [...signature.inputs, ...signature.outputs];
  return all.every((spec) => spec.shape.length > 0 && spec.shape[0] === null);
}
