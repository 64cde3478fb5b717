import type { ErrorKind } from './error-kind.ts';

/** Codes of graphs built from weights, of quantisation and of models for devices; a part of the one catalogue of errors. */
export const conversionErrors = {
  invalid_safetensors: {
    status: 422,
    retryable: false,
    doc: 'The weights are not a SafeTensors file, or one over a bound: a header that is cut off or too long, tensors that overlap, leave gaps or have another length than their shape; the message names the part. Save them again.',
  },
  invalid_architecture: {
    status: 422,
    retryable: false,
    doc: 'architecture.json cannot be read, names a layer or step that is not known, or its layers do not fit one another; the message names the place.',
  },
  architecture_mismatch: {
    status: 422,
    retryable: false,
    doc: 'The tensors do not make up the network that was asked for, or their names and shapes alone do not say which network they are; correct the layer sizes or send architecture.json.',
  },
  missing_tensor: {
    status: 422,
    retryable: false,
    doc: 'The architecture names a tensor that the weights lack; the message names it.',
  },
  extra_tensor: {
    status: 422,
    retryable: false,
    doc: 'The weights hold a tensor that no layer of the architecture uses; remove it or add its layer.',
  },
  tensor_shape_mismatch: {
    status: 422,
    retryable: false,
    doc: 'A tensor does not have the shape that its layer needs; the message gives both.',
  },
  tensor_dtype_mismatch: {
    status: 422,
    retryable: false,
    doc: 'A tensor does not have the element type that its layer needs; the message gives both. Save the weights as float32.',
  },
  weights_not_finite: {
    status: 422,
    retryable: false,
    doc: 'A tensor holds NaN or Infinity; the message names it. The training diverged: train again.',
  },
  calibration_unusable: {
    status: 422,
    retryable: false,
    doc: 'The calibration files hold no rows that fit the input of the model; the message gives the reason.',
  },
  quantization_failed: {
    status: 422,
    retryable: false,
    doc: 'The model cannot be quantised in this mode, or decides too differently afterwards; the message says by how much. Choose another mode or a lower bound.',
  },
  edge_operator_unsupported: {
    status: 422,
    retryable: false,
    doc: 'An operator of the model has no int8 form in TensorFlow Lite or no kernel in TensorFlow Lite Micro; the message names it. Choose another activation or layer.',
  },
  edge_budget_exceeded: {
    status: 422,
    retryable: false,
    doc: 'The model for devices is over the budget of the job in size, arena, latency or lost accuracy; the message says by how much. Make the net smaller or the budget larger.',
  },
} as const satisfies Record<string, ErrorKind>;
