import type { OnnxChange, OnnxSegment, OnnxSource, TensorSpec } from '@millrace/onnx';
import { readServable } from '@millrace/onnx';

/** Path of the ONNX graph as it came, and of the one that is served when that had to be rewritten. */
export const GRAPH_PATH = 'model.onnx';
export const SERVING_PATH = 'serving/model.onnx';

/** An ONNX file that was read and found servable. */
export type ReadGraph = {
  /** Canonical digest of its initialisers. */
  readonly weightsDigest: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly irVersion: number;
  readonly opsets: Readonly<Record<string, number>>;
  /** The parts of the graph that is served, when the one that came cannot be; with what was changed. */
  readonly rewritten: readonly OnnxSegment[] | undefined;
  readonly changes: readonly OnnxChange[];
};

/**
 * Reads an ONNX file in pieces and rewrites what the runtime cannot return.
 * @throws AppError as `inspectOnnx` does: `not_onnx`, `invalid_model`, `unsupported_output`, …
 */
export function readGraph(source: OnnxSource): ReadGraph {
  const { info, weightsDigest, changes, rewritten } = readServable(source);
  const { inputs, outputs, irVersion, opsets } = info;
  return { weightsDigest, inputs, outputs, irVersion, opsets, rewritten, changes };
}
