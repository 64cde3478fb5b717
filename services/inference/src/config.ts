import { authConfig, databaseConfig, natsConfig, s3Config, serviceConfig } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';

const MIB = 1024 * 1024;

/** Environment of the inference service. */
export const InferenceConfig = Type.Object({
  ...serviceConfig,
  ...authConfig,
  ...databaseConfig,
  ...natsConfig,
  ...s3Config,
  signingPublicKeyFile: Type.String({
    env: 'MILLRACE_SIGNING_PUBLIC_KEY_FILE',
    minLength: 1,
    description:
      "PEM file of the registry's P-256 public key; packages are verified with it before they are loaded.",
  }),
  cacheDir: Type.String({
    env: 'MILLRACE_CACHE_DIR',
    minLength: 1,
    description: 'Folder of the node cache: files by digest, safe to delete while the service is down.',
  }),
  cacheBytesMax: Type.Integer({
    env: 'MILLRACE_CACHE_BYTES_MAX',
    default: 10_240 * MIB,
    minimum: MIB,
    description: 'Bytes that the node cache holds; the files used longest ago go first.',
  }),
  loadedModelsMax: Type.Integer({
    env: 'MILLRACE_LOADED_MODELS_MAX',
    default: 64,
    minimum: 1,
    description: 'Model versions in memory at once; the one used longest ago is unloaded first.',
  }),
  loadedBytesMax: Type.Integer({
    env: 'MILLRACE_LOADED_BYTES_MAX',
    default: 2_048 * MIB,
    minimum: MIB,
    description: 'Measured memory of all loaded models (bytes).',
  }),
  bodyBytesMax: Type.Integer({
    env: 'MILLRACE_PREDICT_BODY_BYTES_MAX',
    default: 64 * MIB,
    minimum: 1024,
    description: 'Largest body of a prediction (bytes); more is 413.',
  }),
  rowsMax: Type.Integer({
    env: 'MILLRACE_PREDICT_ROWS_MAX',
    default: 4_096,
    minimum: 1,
    description: 'Most rows in one request; more is 413.',
  }),
  queueRequestsMax: Type.Integer({
    env: 'MILLRACE_QUEUE_REQUESTS_MAX',
    default: 1_024,
    minimum: 1,
    description: 'Requests that wait for one model; more get 503 and Retry-After.',
  }),
  queueBytesMax: Type.Integer({
    env: 'MILLRACE_QUEUE_BYTES_MAX',
    default: 128 * MIB,
    minimum: MIB,
    description: 'Input bytes that wait for one model.',
  }),
  deadlineMs: Type.Integer({
    env: 'MILLRACE_PREDICT_DEADLINE_MS',
    default: 10_000,
    minimum: 10,
    description: 'A request that waited this long is answered with 504 and not run (ms).',
  }),
  runTimeoutMs: Type.Integer({
    env: 'MILLRACE_RUN_TIMEOUT_MS',
    default: 30_000,
    minimum: 100,
    description: 'A model host whose run takes longer is ended (ms).',
  }),
  loadTimeoutMs: Type.Integer({
    env: 'MILLRACE_LOAD_TIMEOUT_MS',
    default: 20_000,
    minimum: 1_000,
    description: 'Load and warm-up of a model may each take this long (ms).',
  }),
  hostsPerModel: Type.Integer({
    env: 'MILLRACE_HOSTS_PER_MODEL',
    default: 0,
    minimum: 0,
    maximum: 64,
    description: 'Processes of a slow model; 0 takes half of the usable cores, at least 1 and at most 4.',
  }),
  threadsPerHost: Type.Integer({
    env: 'MILLRACE_THREADS_PER_HOST',
    default: 1,
    minimum: 1,
    maximum: 64,
    description: 'Threads of one run in a model host; 1 is fastest while requests keep the cores busy.',
  }),
  telemetryBytesMax: Type.Integer({
    env: 'MILLRACE_TELEMETRY_BYTES_MAX',
    default: 64 * MIB,
    minimum: MIB,
    description: 'Predictions that wait for NATS (bytes, as JSON); more are dropped and counted.',
  }),
  telemetryPredictionsMax: Type.Integer({
    env: 'MILLRACE_TELEMETRY_PREDICTIONS_MAX',
    default: 60_000,
    minimum: 1,
    description: 'Predictions that wait for NATS: ten minutes at 100 a second.',
  }),
});
export type InferenceConfig = Static<typeof InferenceConfig>;
