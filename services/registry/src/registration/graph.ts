import { sha256Hex } from '@millrace/integrity';
import type { OnnxChange, TensorSpec } from '@millrace/onnx';
import { normaliseForServing, onnxWeightsDigest } from '@millrace/onnx';

/** Path of the ONNX graph as it came, and of the one that is served when that had to be rewritten. */
export const GRAPH_PATH = 'model.onnx';
export const SERVING_PATH = 'serving/model.onnx';

/** An ONNX file that was read and found servable. */
export type InspectedGraph = {
  /** SHA-256 of the file as it came. */
  readonly sha256: string;
  /** Canonical digest of its initialisers. */
  readonly weightsDigest: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly irVersion: number;
  readonly opsets: Readonly<Record<string, number>>;
  /** The graph that is served, when the one that came cannot be; with what was changed. */
  readonly rewritten: Uint8Array | undefined;
  readonly changes: readonly OnnxChange[];
};

/**
 * Reads an ONNX file and rewrites what the runtime cannot return.
 * @throws AppError as `inspectOnnx` does: `not_onnx`, `invalid_model`, `unsupported_output`, …
 */
export function inspectGraph(bytes: Uint8Array): InspectedGraph {
  const served = normaliseForServing(bytes);
  return {
    sha256: sha256Hex(bytes),
    weightsDigest: onnxWeightsDigest(bytes),
    inputs: served.info.inputs,
    outputs: served.info.outputs,
    irVersion: served.info.irVersion,
    opsets: served.info.opsets,
    rewritten: served.changes.length === 0 ? undefined : served.bytes,
    changes: served.changes,
  };
}
