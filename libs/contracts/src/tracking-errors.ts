import type { ErrorKind } from './error-kind.ts';

/** Codes of experiments, runs and what is searched by MLflow's filters. */
export const trackingErrors = {
  experiment_not_found: { status: 404, retryable: false, doc: 'No experiment has this id or name.' },
  run_not_found: { status: 404, retryable: false, doc: 'No run has this id.' },
  logged_model_not_found: { status: 404, retryable: false, doc: 'No logged model has this id.' },
  artifact_not_found: { status: 404, retryable: false, doc: 'No artifact lies at this path.' },
  tag_not_found: { status: 404, retryable: false, doc: 'What is to lose a tag has none with this key.' },
  name_taken: {
    status: 409,
    retryable: false,
    doc: 'Something of this kind has the name already, maybe deleted; choose another or restore it.',
  },
  invalid_filter: {
    status: 400,
    retryable: false,
    doc: 'A filter or an order cannot be parsed or names a field that there is not; the message gives the place.',
  },
  not_active: {
    status: 400,
    retryable: false,
    doc: 'The experiment or run is deleted; restore it before changing it.',
  },
  param_conflict: {
    status: 400,
    retryable: false,
    doc: 'A parameter of a run has another value already; parameters are written once.',
  },
} as const satisfies Record<string, ErrorKind>;
