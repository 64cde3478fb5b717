import type { OnnxWeight } from '@millrace/onnx';
import { onnxWeights } from '@millrace/onnx';

/** How far the weights of two models are apart. */
export type WeightsDifference = {
  readonly tensors: number;
  /** Largest absolute difference of an element, in the unit of the weights. */
  readonly maxAbs: number;
  /** Largest difference of an element relative to the largest absolute element of its tensor. */
  readonly maxRel: number;
  /** Tensor with the largest relative difference. */
  readonly worst: string | null;
};

/** Names and forms of two models differ, or a type has no differences: there is nothing to measure. */
export type Incomparable = { readonly why: string };

type Reader = (view: DataView, at: number) => number;
const READERS: ReadonlyMap<string, { width: number; read: Reader }> = new Map([
  ['float64', { width: 8, read: (view, at) => view.getFloat64(at, true) }],
  ['float32', { width: 4, read: (view, at) => view.getFloat32(at, true) }],
  ['int64', { width: 8, read: (view, at) => Number(view.getBigInt64(at, true)) }],
  ['int32', { width: 4, read: (view, at) => view.getInt32(at, true) }],
  ['int8', { width: 1, read: (view, at) => view.getInt8(at) }],
  ['uint8', { width: 1, read: (view, at) => view.getUint8(at) }],
]);

/**
 * Measures how far the initialisers of two ONNX models are apart. A NaN on one side only counts as infinitely far.
 * Throws as inspectOnnx does for bytes that are no model.
 */
export function compareWeights(original: Uint8Array, rebuilt: Uint8Array): WeightsDifference | Incomparable {
  const [before, after] = [onnxWeights(original), onnxWeights(rebuilt)];
  const form = ({ name, dtype, shape }: OnnxWeight) => JSON.stringify([name, dtype, shape]);
  const other = before.findIndex((weight, i) => {
    const its = after[i];
    return its === undefined || form(weight) !== form(its);
  });
  if (other >= 0 || before.length !== after.length) {
    const named = before[other] ?? after[before.length];
    return { why: `the models do not have the same tensors, beginning with ${JSON.stringify(named?.name)}` };
  }
  let [maxAbs, maxRel, worst]: [number, number, string | null] = [0, 0, null];
  for (const [i, { name, dtype, data }] of before.entries()) {
    const [a, b] = [data(), after[i]?.data() ?? new Uint8Array(0)];
    if (Buffer.compare(a, b) === 0) continue;
    const reader = READERS.get(dtype);
    if (reader === undefined) return { why: `the tensor ${JSON.stringify(name)} of ${dtype} differs` };
    const { abs, largest } = compareTensor(a, b, reader);
    const rel = abs === 0 ? 0 : abs / largest;
    maxAbs = Math.max(maxAbs, abs);
    if (rel > maxRel) [maxRel, worst] = [rel, name];
  }
  return { tensors: before.length, maxAbs, maxRel, worst };
}

/** Largest difference between two tensors of equal form, and the largest absolute element of the first. */
function compareTensor(
  a: Uint8Array,
  b: Uint8Array,
  { width, read }: { width: number; read: Reader },
): { abs: number; largest: number } {
  const [one, two] = [viewOf(a), viewOf(b)];
  let [abs, largest] = [0, 0];
  for (let at = 0; at < a.byteLength; at += width) {
    const [x, y] = [read(one, at), read(two, at)];
    if (Object.is(x, y)) continue;
    const apart = Math.abs(x - y);
    abs = Math.max(abs, Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart);
  }
  for (let at = 0; at < a.byteLength; at += width) {
    const size = Math.abs(read(one, at));
    if (Number.isFinite(size)) largest = Math.max(largest, size);
  }
  return { abs, largest };
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
