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
  grpcPort: Type.Integer({
    env: 'MILLRACE_GRPC_PORT',
    default: 0,
    minimum: 0,
    maximum: 65_535,
    description: 'TCP port of gRPC, on the same address; 0 takes any free one.',
  }),
  signingPublicKeyFile: Type.String({
    env: 'MILLRACE_SIGNING_PUBLIC_KEY_FILE',
    minLength: 1,
    description:
      "PEM file of the registry's public key, older ones and CA certificates; packages are verified with them before they are loaded.",
  }),
  cacheDir: Type.String({
    env: 'MILLRACE_CACHE_DIR',
    minLength: 1,
    description:
      'Folder of the node cache: files by digest. Predictions that NATS did not take yet wait in its telemetry/ folder; all else is safe to delete while the service is down.',
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
  outputBytesMax: Type.Integer({
    env: 'MILLRACE_PREDICT_OUTPUT_BYTES_MAX',
    default: 64 * MIB,
    minimum: 1024,
    description: 'Outputs of one run (bytes); a request that makes more is answered with an error.',
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
  busRequestsMax: Type.Integer({
    env: 'MILLRACE_BUS_REQUESTS_MAX',
    default: 512,
    minimum: 1,
    description:
      'Requests over NATS request/reply in hand at once, divided among the fronts; more are refused with `queue_full`.',
  }),
  jobsMax: Type.Integer({
    env: 'MILLRACE_INFER_JOBS_MAX',
    default: 32,
    minimum: 1,
    maximum: 1_024,
    description:
      'Asynchronous requests in hand at once, divided among the fronts; the rest waits in the stream.',
  }),
  jobDeliveriesMax: Type.Integer({
    env: 'MILLRACE_INFER_JOB_DELIVERIES_MAX',
    default: 16,
    minimum: 1,
    maximum: 1_000,
    description:
      'Deliveries of an asynchronous request before it is given up; the waits between 16 add up to five minutes.',
  }),
  responseCacheBytesMax: Type.Integer({
    env: 'MILLRACE_RESPONSE_CACHE_BYTES_MAX',
    default: 256 * MIB,
    minimum: MIB,
    description: 'Answers kept for models whose rollout asks for it, with their inputs (bytes).',
  }),
  tritonMetrics: Type.Boolean({
    env: 'MILLRACE_TRITON_METRICS',
    default: false,
    description:
      'Adds the nv_inference_* series of Triton to /metrics, for dashboards and rules that ask for them.',
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
  fronts: Type.Integer({
    env: 'MILLRACE_FRONTS',
    default: 0,
    minimum: 0,
    maximum: 64,
    description:
      'Processes that answer requests on the shared port; 0 takes one for each usable core, at most 8. 1 serves in the process of the service itself.',
  }),
  inlineRunMsMax: Type.Number({
    env: 'MILLRACE_INLINE_RUN_MS_MAX',
    default: 2,
    minimum: 0,
    maximum: 5,
    description:
      'A model whose single row takes longer runs in model hosts, so that it does not hold up other requests (ms); 0 puts every model into hosts.',
  }),
  joinedUlpsMax: Type.Integer({
    env: 'MILLRACE_JOINED_ULPS_MAX',
    default: 0,
    minimum: 0,
    maximum: 1024,
    description:
      'Requests are joined into one run when that pays and each answer is at most this far from the one alone, compared at the load (units in the last place); 0 is the same to the bit.',
  }),
  hostsPerModel: Type.Integer({
    env: 'MILLRACE_HOSTS_PER_MODEL',
    default: 0,
    minimum: 0,
    maximum: 64,
    description:
      'Processes of a slow model, divided among the fronts (each has at least one); 0 takes half of the usable cores, at most 4.',
  }),
  hostMemoryBytesMax: Type.Integer({
    env: 'MILLRACE_HOST_MEMORY_BYTES_MAX',
    default: 4_096 * MIB,
    minimum: 128 * MIB,
    description: 'Memory of one model host; a load or a run that takes more is ended (bytes).',
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
  telemetryPerSecondMax: Type.Integer({
    env: 'MILLRACE_TELEMETRY_PER_SECOND_MAX',
    default: 2_000,
    minimum: 1,
    description:
      'Predictions reported to monitoring a second; more are answered all the same, dropped and counted. Metrics count every one.',
  }),
  telemetryInputsPerSecondMax: Type.Integer({
    env: 'MILLRACE_TELEMETRY_INPUTS_PER_SECOND_MAX',
    default: 200,
    minimum: 0,
    description:
      'Predictions a second whose input values up to 4 KiB are reported; the inputs of more are named by digest and shape.',
  }),
  telemetryPredictionsMax: Type.Integer({
    env: 'MILLRACE_TELEMETRY_PREDICTIONS_MAX',
    default: 60_000,
    minimum: 1,
    description: 'Predictions that wait for NATS: ten minutes at 100 a second.',
  }),
});
export type InferenceConfig = Static<typeof InferenceConfig>;
