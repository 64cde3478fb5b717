import { dataTypeOf } from './data-type.ts';
import type { TensorProto } from './generated/onnx_pb.ts';
import type { OnnxLimits } from './limits.ts';
import { defaultOnnxLimits } from './limits.ts';
import type { OpenModel } from './open-model.ts';
import { openModel } from './open-model.ts';
import { sourceOf } from './source.ts';
import { tensorBytes, tensorPieces } from './tensor-data.ts';

/** An initialiser of a model; `data` gives its elements row by row, little-endian, as `raw_data` holds them. */
export type OnnxWeight = {
  readonly name: string;
  /** Element type such as `float32`; empty for one that the specification does not have. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: () => Uint8Array;
  /** The same, piece by piece; each is gone when the next is asked for. */
  readonly pieces: () => Iterable<Uint8Array>;
};

/**
 * The initialisers of a model's main graph, sorted by the UTF-8 bytes of their names. A sparse one counts as two, the
 * second named `<name>#indices`. Throws as inspectOnnx does for a file whose structure does not hold.
 */
export function onnxWeights(bytes: Uint8Array, limits: OnnxLimits = defaultOnnxLimits): OnnxWeight[] {
  return weightsOf(openModel(sourceOf(bytes), limits));
}

/** The initialisers of a model that is open, as onnxWeights gives them. */
export function weightsOf({ graph, raw }: OpenModel): OnnxWeight[] {
  const named: [string, TensorProto][] = graph.initializer.map((tensor) => [tensor.name, tensor]);
  for (const { values, indices } of graph.sparseInitializer) {
    if (values !== undefined) named.push([values.name, values]);
    if (values !== undefined && indices !== undefined) named.push([`${values.name}#indices`, indices]);
  }
  named.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return named.map(([name, tensor]) => ({
    name,
    dtype: dataTypeOf(tensor.dataType)?.name ?? '',
    shape: tensor.dims.map(Number),
    data: () => tensorBytes(tensor, raw),
    pieces: () => tensorPieces(tensor, raw),
  }));
}
