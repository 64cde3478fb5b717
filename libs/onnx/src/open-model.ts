import { fromBinary } from '@bufbuild/protobuf';
import { AppError, isAppError } from '@millrace/contracts';
import type { GraphProto, ModelProto } from './generated/onnx_pb.ts';
import { ModelProtoSchema } from './generated/onnx_pb.ts';
import { tensorsOf } from './graph-walk.ts';
import type { OnnxLimits } from './limits.ts';
import { checkExpansion, checkOperators, checkVersions } from './operators.ts';
import { checkSparse, checkTensor } from './tensor-data.ts';
import { checkValueNames } from './value-names.ts';
import { notOnnx, scanWire } from './wire-scan.ts';

/** A model whose structure holds: one file, within bounds, consistent, and within what the runtime implements. */
export type OpenModel = { readonly model: ModelProto; readonly graph: GraphProto };

/**
 * Decodes and checks a model file; raw tensor data stays a view of `bytes`. Throws `model_too_large`, `not_onnx`,
 * `model_too_complex`, `unsupported_opset`, `unsupported_operator`, `external_data_path` or `invalid_model`.
 */
export function openModel(bytes: Uint8Array, limits: OnnxLimits): OpenModel {
  if (bytes.byteLength > limits.modelBytesMax) {
    const message = `The model file has ${bytes.byteLength} bytes; at most ${limits.modelBytesMax} are accepted.`;
    throw new AppError('model_too_large', message, {
      details: { found: bytes.byteLength, max: limits.modelBytesMax },
    });
  }
  const model = decode(bytes, limits);
  const { graph } = model;
  if (graph === undefined) throw notOnnx('it has no graph');
  if (model.irVersion < 1n) throw notOnnx('it has no IR version');
  if (model.opsetImport.length === 0) throw notOnnx('it names no opset');
  checkVersions(model);
  for (const tensor of tensorsOf(model)) {
    if (tensor.$typeName === 'onnx.TensorProto') checkTensor(tensor);
    else checkSparse(tensor);
  }
  checkOperators(model);
  checkExpansion(model, limits.expandedNodesMax);
  checkValueNames(model);
  return { model, graph };
}

function decode(bytes: Uint8Array, limits: OnnxLimits): ModelProto {
  if (bytes.byteLength === 0) throw notOnnx('it is empty');
  try {
    scanWire(bytes, limits);
    return fromBinary(ModelProtoSchema, bytes);
  } catch (error) {
    if (isAppError(error)) throw error;
    // The reader throws plain errors for bytes that end early or make no sense.
    throw notOnnx('its bytes are cut off or damaged', error);
  }
}
