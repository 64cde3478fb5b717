import { bundleErrors } from './bundle-errors.ts';
import { conversionErrors } from './conversion-errors.ts';
import { datasetErrors } from './dataset-errors.ts';
import { driftErrors } from './drift-errors.ts';
import type { ErrorKind } from './error-kind.ts';
import { featureErrors } from './feature-errors.ts';
import { identityErrors } from './identity-errors.ts';
import { modelFileErrors } from './model-file-errors.ts';
import { trackingErrors } from './tracking-errors.ts';
import { webhookErrors } from './webhook-errors.ts';

/**
 * The only list of error codes. HTTP answers, dead letters, job failures and the Python workers share it;
 * `doc` says when the code is used and what the caller should do.
 */
export const errorCatalog = {
  // Requests
  invalid_request: {
    status: 400,
    retryable: false,
    doc: 'The request does not match its schema; the message names the field.',
  },
  unknown_field: {
    status: 400,
    retryable: false,
    doc: 'The body has a field that this route does not know; remove it or correct its name.',
  },
  invalid_json: { status: 400, retryable: false, doc: 'The body is not valid JSON.' },
  bad_id: {
    status: 400,
    retryable: false,
    doc: 'An identifier in the path or body has characters that are not allowed.',
  },
  payload_too_large: {
    status: 413,
    retryable: false,
    doc: 'The body is over the bound of this route; the message states the bound in bytes.',
  },
  unsupported_media_type: {
    status: 415,
    retryable: false,
    doc: 'The Content-Type is not accepted here; the message names those that are.',
  },
  method_not_allowed: {
    status: 405,
    retryable: false,
    doc: 'The path is there, but not with this method; the header Allow names those it has.',
  },
  route_not_found: { status: 404, retryable: false, doc: 'No such route; see /docs for the list.' },
  service_not_found: {
    status: 404,
    retryable: false,
    doc: 'A health check asks for a gRPC service that this server does not have.',
  },
  idempotency_mismatch: {
    status: 422,
    retryable: false,
    doc: 'The Idempotency-Key was used before with another body; send a new key.',
  },
  rate_limited: {
    status: 429,
    retryable: true,
    doc: 'Too many requests from this principal; wait for Retry-After seconds.',
  },
  // Auth
  auth_required: {
    status: 401,
    retryable: false,
    doc: 'No valid API key came with the request; send Authorization: Bearer <key>.',
  },
  scope_missing: {
    status: 403,
    retryable: false,
    doc: 'The key is valid but lacks the scope that this route needs; the message names it.',
  },
  host_not_allowed: {
    status: 421,
    retryable: false,
    doc: 'A request without a key must use a loopback Host and Origin; use 127.0.0.1 or send a key.',
  },
  ...identityErrors,
  ...webhookErrors,
  ...driftErrors,
  // Models and packages
  model_not_found: { status: 404, retryable: false, doc: 'No model has this name.' },
  version_not_found: { status: 404, retryable: false, doc: 'The model has no such version.' },
  version_conflict: {
    status: 409,
    retryable: false,
    doc: 'This version exists with other bytes; choose a new version label.',
  },
  invalid_name: {
    status: 400,
    retryable: false,
    doc: 'A model name or version label is empty, over 255 characters or has a slash, backslash, colon or control character.',
  },
  unsupported_framework: {
    status: 422,
    retryable: false,
    doc: 'The framework named does not serve such a file, or none does; the message says what to send.',
  },
  not_onnx: { status: 422, retryable: false, doc: 'The file is not a complete ONNX model.' },
  checksum_mismatch: {
    status: 422,
    retryable: false,
    doc: 'The bytes received do not have the digest that was announced; upload again.',
  },
  version_in_rollout: {
    status: 409,
    retryable: false,
    doc: 'The rollout of the model sends requests to this version; change or delete the rollout first.',
  },
  version_in_use: {
    status: 409,
    retryable: false,
    doc: 'The version serves, is in production, or an alias or ensemble points to it; the message says what to change first.',
  },
  model_in_use: {
    status: 409,
    retryable: false,
    doc: 'The model cannot be renamed or deleted as it stands; the message says why and what to change first.',
  },
  model_conflict: { status: 409, retryable: false, doc: 'A model has this name already; choose another.' },
  stage_not_servable: {
    status: 403,
    retryable: false,
    doc: 'Policy does not allow serving a version at its present stage.',
  },
  // Governance
  approval_required: {
    status: 403,
    retryable: false,
    doc: 'Policy demands approvals that this digest does not have; the message says how many of whom are missing.',
  },
  own_approval: {
    status: 403,
    retryable: false,
    doc: 'Who registered a version cannot approve it here; ask somebody else.',
  },
  approval_not_found: { status: 404, retryable: false, doc: 'There is no such approval of this version.' },
  digest_not_allowed: {
    status: 403,
    retryable: false,
    doc: 'Policy lets only digests on the allow-list into this stage, and this one is not on it.',
  },
  // Rollouts
  rollout_not_found: { status: 404, retryable: false, doc: 'The model has no rollout; make one with PUT.' },
  invalid_rollout: {
    status: 422,
    retryable: false,
    doc: 'The rollout contradicts itself or names a version that cannot serve; the message names the field.',
  },
  precondition_required: {
    status: 428,
    retryable: false,
    doc: 'What is to be replaced or deleted exists; read it and send its ETag as If-Match, so that no change is lost.',
  },
  precondition_failed: {
    status: 412,
    retryable: false,
    doc: 'What is to be replaced or deleted has changed since it was read; read it again and decide anew.',
  },
  invalid_ensemble: {
    status: 422,
    retryable: false,
    doc: 'The ensemble has a circle, an input that is not fed, types or shapes that do not fit, or is over a bound; the message names the step.',
  },
  // Integrity
  artifact_corrupt: {
    status: 502,
    retryable: true,
    doc: 'Bytes read from storage do not have their digest; they were not used.',
  },
  artifact_missing: {
    status: 502,
    retryable: true,
    doc: 'Storage has no object for a digest that the registry names.',
  },
  invalid_artifact_path: {
    status: 400,
    retryable: false,
    doc: 'A file of a package has a path that is absolute, has . or .., a backslash or a control character, or occurs twice; rename it.',
  },
  signature_malformed: {
    status: 422,
    retryable: false,
    doc: 'The signature is not a Sigstore bundle of the expected kind; sign the package again.',
  },
  signature_key_unknown: {
    status: 422,
    retryable: false,
    doc: 'The signature was made by a key that is not trusted here; add its public key or sign again.',
  },
  signature_invalid: {
    status: 422,
    retryable: false,
    doc: 'The signature does not fit what it signs; the package was changed after signing and is not used.',
  },
  manifest_mismatch: {
    status: 422,
    retryable: false,
    doc: 'The package has files that are not in the signed manifest, or lacks some; the message names them.',
  },
  identity_missing: {
    status: 422,
    retryable: false,
    doc: 'The version has no signed statement that binds its name to its package; the message says how old versions get one.',
  },
  digest_mismatch: {
    status: 422,
    retryable: false,
    doc: 'A file does not have the digest that was signed for it; it was not used.',
  },
  log_chain_broken: {
    status: 500,
    retryable: false,
    doc: 'A row of the hash-chained log was changed, removed or reordered; the message gives its position.',
  },
  ...bundleErrors,
  ...modelFileErrors,
  ...trackingErrors,
  // Prediction
  missing_input: { status: 400, retryable: false, doc: 'A named input of the model is absent.' },
  extra_input: { status: 400, retryable: false, doc: 'The model has no input of this name.' },
  invalid_shape: {
    status: 400,
    retryable: false,
    doc: 'The values do not fit the shape of the input; the message gives both.',
  },
  invalid_type: {
    status: 400,
    retryable: false,
    doc: 'A value has the wrong type for the input; the message gives both.',
  },
  not_finite: {
    status: 400,
    retryable: false,
    doc: 'An input holds NaN or Infinity; the message gives its index.',
  },
  batch_too_large: {
    status: 413,
    retryable: false,
    doc: 'The request has more rows than the model accepts at once; split it.',
  },
  model_not_ready: {
    status: 503,
    retryable: true,
    doc: 'The version exists but is still loading or failed to load; see its status.',
  },
  model_load_failed: {
    status: 422,
    retryable: false,
    doc: 'The runtime refused the model; the message gives its reason.',
  },
  model_crashed: {
    status: 503,
    retryable: true,
    doc: 'The process that hosts the model ended; it is being restarted.',
  },
  queue_full: {
    status: 503,
    retryable: true,
    doc: 'The queue of the model is at its bound; wait for Retry-After seconds.',
  },
  deadline_exceeded: { status: 504, retryable: true, doc: 'The deadline passed before the model ran.' },
  request_cancelled: {
    status: 499,
    retryable: false,
    doc: 'The caller went away before the model ran; nobody reads this answer.',
  },
  output_too_large: {
    status: 500,
    retryable: false,
    doc: 'The outputs of a run are over the bound on their bytes; send fewer rows or ask for fewer outputs.',
  },
  exceeds_memory: {
    status: 422,
    retryable: false,
    doc: 'Loading or running the model took more memory than a model host may have; use smaller inputs or a smaller model.',
  },
  inference_failed: { status: 500, retryable: false, doc: 'The runtime failed on this input.' },
  // Batch jobs
  batch_input_not_found: {
    status: 404,
    retryable: false,
    doc: 'No object is where the batch job is to read, or none of its kind; the message names the place.',
  },
  batch_input_invalid: {
    status: 422,
    retryable: false,
    doc: 'A file of a batch job cannot be read as its format or does not fit the model; the message gives the reason.',
  },
  batch_input_changed: {
    status: 409,
    retryable: false,
    doc: 'An object that the batch job reads was replaced after the job began; submit the job again.',
  },
  batch_not_finished: {
    status: 409,
    retryable: false,
    doc: 'The batch job has no results: it has not succeeded; its state says where it stands.',
  },
  // Datasets, training, conversion
  ...datasetErrors,
  ...featureErrors,
  unknown_recipe: {
    status: 422,
    retryable: false,
    doc: 'No recipe has this name; the message lists those there are.',
  },
  invalid_params: {
    status: 422,
    retryable: false,
    doc: 'A recipe parameter is unknown or out of its range; the message names it.',
  },
  pipeline_not_found: { status: 404, retryable: false, doc: 'No pipeline has this id.' },
  job_not_found: { status: 404, retryable: false, doc: 'No job has this id.' },
  job_not_cancellable: { status: 409, retryable: false, doc: 'The job has already ended.' },
  fenced: { status: 409, retryable: false, doc: 'A newer attempt owns the job; this worker must stop.' },
  key_not_allowed: {
    status: 403,
    retryable: false,
    doc: 'A worker named a storage key outside the prefix of its own attempt.',
  },
  job_cancelled: { status: 409, retryable: false, doc: 'The job was cancelled before it had a result.' },
  training_failed: {
    status: 500,
    retryable: false,
    doc: 'The training code raised; the message gives the exception.',
  },
  training_stalled: {
    status: 500,
    retryable: true,
    doc: 'The training made no step within its stall timeout and was stopped.',
  },
  worker_lost: { status: 500, retryable: true, doc: 'The worker that held the job went away.' },
  attempts_exhausted: {
    status: 500,
    retryable: false,
    doc: 'Every attempt of the job ended without a result; the cause holds the last error.',
  },
  conversion_failed: {
    status: 422,
    retryable: false,
    doc: 'The converter could not turn the model into the target format; the message gives the reason.',
  },
  parity_failed: {
    status: 422,
    retryable: false,
    doc: 'The converted model answers differently from the original; the message says by how much.',
  },
  ...conversionErrors,
  // Monitoring
  inference_not_found: { status: 404, retryable: false, doc: 'No inference has this id.' },
  // Infrastructure
  dependency_unavailable: {
    status: 503,
    retryable: true,
    doc: 'A service or server that this request needs does not answer; try again.',
  },
  storage_unavailable: { status: 503, retryable: true, doc: 'The object store does not answer; try again.' },
  database_unavailable: { status: 503, retryable: true, doc: 'The database does not answer; try again.' },
  shutting_down: { status: 503, retryable: true, doc: 'The service is stopping; try again.' },
  dead_letter_not_found: { status: 404, retryable: false, doc: 'No dead letter has this sequence.' },
  internal: {
    status: 500,
    retryable: false,
    doc: 'An error that the platform did not expect; its log has the request id.',
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorCatalog;

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCatalog, value);
}
