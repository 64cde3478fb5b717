import type { ErrorKind } from './error-kind.ts';

/** Codes of model files that are taken in; a part of the one catalogue of errors. */
export const modelFileErrors = {
  invalid_model: {
    status: 422,
    retryable: false,
    doc: 'The model contradicts itself (a tensor length, a name, a missing value); the message names the part. Export it again.',
  },
  external_data_path: {
    status: 422,
    retryable: false,
    doc: 'The model names data outside what was sent: a tensor of an ONNX file in another file, a weight file of a TF.js model by path or address. Save it without.',
  },
  unsupported_opset: {
    status: 422,
    retryable: false,
    doc: 'The model needs a newer opset or IR version than the runtime has; export it with an older one.',
  },
  unsupported_operator: {
    status: 422,
    retryable: false,
    doc: 'The model uses operators that the runtime does not have; the message lists them.',
  },
  unsupported_layer: {
    status: 422,
    retryable: false,
    doc: 'The TF.js model has layers that TensorFlow.js does not have, custom ones among them; the message lists them.',
  },
  weights_mismatch: {
    status: 422,
    retryable: false,
    doc: 'The weight files of a TF.js model are not those that its model.json names: one is missing, too many or of another length.',
  },
  unsafe_model: {
    status: 422,
    retryable: false,
    doc: 'The model holds code or operations that touch files, processes or the network (Lambda, custom objects, PyFunc, ReadFile); the message names them.',
  },
  unknown_format: {
    status: 422,
    retryable: false,
    doc: 'The files are no model of a kind that is taken: ONNX, SavedModel, .keras, TF.js graph or layers model.',
  },
  invalid_archive: {
    status: 422,
    retryable: false,
    doc: 'The archive cannot be read as .zip or .tar.gz, is cut off or encrypted, or holds links or devices; pack plain files.',
  },
  archive_too_large: {
    status: 413,
    retryable: false,
    doc: 'The archive is over a bound on its files, their bytes or how far they expand; the message gives both numbers.',
  },
  import_not_found: { status: 404, retryable: false, doc: 'No import of a model has this id.' },
  import_not_open: {
    status: 409,
    retryable: false,
    doc: 'The import is over, so it cannot be cancelled; its state says how it ended.',
  },
  import_cancelled: {
    status: 409,
    retryable: false,
    doc: 'The import was cancelled before it made a version; upload the files again.',
  },
  import_timeout: {
    status: 504,
    retryable: true,
    doc: 'The upload was not converted within MILLRACE_IMPORT_TIMEOUT_SECONDS; see that a conversion worker runs, then upload again.',
  },
  unsupported_input: {
    status: 422,
    retryable: false,
    doc: 'An input of the model is not a dense tensor of a servable type; the message names it.',
  },
  unsupported_output: {
    status: 422,
    retryable: false,
    doc: 'An output of the model is not a tensor and cannot be made one; the message names it.',
  },
  model_too_complex: {
    status: 422,
    retryable: false,
    doc: 'The model is over a bound on nesting, nodes or metadata; the message gives both numbers.',
  },
  model_too_large: {
    status: 413,
    retryable: false,
    doc: 'The model file is over the bound on its size; the message gives both numbers in bytes.',
  },
} as const satisfies Record<string, ErrorKind>;
