import { fromBinary } from '@bufbuild/protobuf';
import { AppError, isAppError } from '@millrace/contracts/errors';
import type { GraphProto, ModelProto } from './generated/onnx_pb.ts';
import { ModelProtoSchema } from './generated/onnx_pb.ts';
import { tensorsOf } from './graph-walk.ts';
import type { OnnxLimits } from './limits.ts';
import { checkExpansion, checkOperators, checkVersions } from './operators.ts';
import { outlineOf } from './outline.ts';
import type { RawData } from './raw-data.ts';
import type { OnnxSource } from './source.ts';
import { checkSparse, checkTensor } from './tensor-data.ts';
import { checkValueNames } from './value-names.ts';
import { notOnnx, scanWire } from './wire-scan.ts';

/** A model whose structure holds: one file, within bounds, consistent, and within what the runtime implements. */
export type OpenModel = {
  /** Decoded from the outline of the file: `raw` has the raw data of its tensors. */
  readonly model: ModelProto;
  readonly graph: GraphProto;
  readonly raw: RawData;
};

/**
 * Decodes and checks a model file; the raw data of its tensors stays where it is. Throws `model_too_large`, `not_onnx`,
 * `model_too_complex`, `unsupported_opset`, `unsupported_operator`, `external_data_path` or `invalid_model`.
 */
export function openModel(source: OnnxSource, limits: OnnxLimits): OpenModel {
  if (source.sizeBytes > limits.modelBytesMax) {
    const message = `The model file has ${source.sizeBytes} bytes; at most ${limits.modelBytesMax} are accepted.`;
    throw new AppError('model_too_large', message, {
      details: { found: source.sizeBytes, max: limits.modelBytesMax },
    });
  }
  if (source.sizeBytes === 0) throw notOnnx('it is empty');
  const { bytes, ranges } = outlineOf(source, limits);
  const model = decode(bytes, limits);
  const raw: RawData = { source, ranges };
  const { graph } = model;
  if (graph === undefined) throw notOnnx('it has no graph');
  if (model.irVersion < 1n) throw notOnnx('it has no IR version');
  if (model.opsetImport.length === 0) throw notOnnx('it names no opset');
  checkVersions(model);
  for (const tensor of tensorsOf(model)) {
    if (tensor.$typeName === 'onnx.TensorProto') checkTensor(tensor, raw);
    else checkSparse(tensor, raw);
  }
  checkOperators(model);
  checkExpansion(model, limits.expandedNodesMax);
  checkValueNames(model);
  return { model, graph, raw };
}

function decode(bytes: Uint8Array, limits: OnnxLimits): ModelProto {
  try {
    scanWire(bytes, limits);
    return fromBinary(ModelProtoSchema, bytes);
  } catch (error) {
    if (isAppError(error)) throw error;
    // The reader throws plain errors for bytes that end early or make no sense.
    throw notOnnx('its bytes are cut off or damaged', error);
  }
}
