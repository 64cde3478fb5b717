export type { ErrorCode } from '@millrace/contracts';
export { AppError, isAppError } from '@millrace/contracts';
export type { Client } from './client.ts';
export { createClient } from './client.ts';
export type { ServerSentEvent } from './event-stream.ts';
export { readEvents } from './event-stream.ts';
export type { JobEvent, JobsClient } from './jobs.ts';
export type {
  BundleParts,
  DatasetView,
  DeadLetter,
  InferenceEvent,
  KeyView,
  LogLine,
  ModelMetrics,
  ModelUpload,
  ModelView,
  Page,
  PageQuery,
  Pipeline,
  PipelineRequest,
  PlatformStatus,
  Prediction,
  PredictRequest,
  ServiceStatus,
  VersionDetail,
  VersionSummary,
  WorkerView,
} from './shapes.ts';
export type { ClientOptions } from './transport.ts';
export { CALL_TIMEOUT_MS } from './transport.ts';
