import type { Prediction, PredictionBatch } from '@millrace/contracts';
import { newId } from '@millrace/contracts';

const SHA = 'a'.repeat(64);

/** A prediction of two classes that says the first. */
export function prediction(changes: Partial<Prediction> = {}): Prediction {
  return {
    inferenceId: newId(),
    time: new Date().toISOString(),
    latencyMs: 10,
    confidence: 0.8,
    inputs: [{ name: 'input', dtype: 'float32', shape: [1, 2], sha256: SHA, values: [0.5, 1] }],
    outputs: [{ name: 'output', dtype: 'float32', shape: [1, 2], sha256: SHA, values: [0.8, 0.2] }],
    ...changes,
  };
}

/** A batch of a sender and a version of its own. */
export function batch(
  model: string,
  predictions: Prediction[],
  changes: Partial<PredictionBatch> = {},
): PredictionBatch {
  return {
    batchId: newId(),
    source: newId(),
    sequence: 0,
    modelVersionId: newId(),
    model,
    version: 'v1',
    framework: 'onnx',
    dropped: 0,
    predictions,
    ...changes,
  };
}
