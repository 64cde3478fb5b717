export type { ErrorCode } from '@millrace/contracts';
export { AppError, isAppError } from '@millrace/contracts';
export type { PrincipalView } from './access.ts';
export type {
  BatchJob,
  BatchJobRequest,
  BatchObject,
  BatchResults,
  BatchRows,
} from './batch-jobs.ts';
export type { BundleImport, ImportedBundle } from './bundles.ts';
export type { Client } from './client.ts';
export { createClient } from './client.ts';
export type { DatasetUpload, DatasetUploadProgress } from './dataset-uploads.ts';
export type {
  DatasetPreset,
  DatasetVersion,
  IngestRequest,
  QualityReport,
  VersionTraining,
} from './datasets.ts';
export type { ServerSentEvent } from './event-stream.ts';
export { readEvents } from './event-stream.ts';
export type {
  FeatureRow,
  FeaturesWritten,
  FeatureValues,
  FeatureView,
  TrainingSetRequest,
  TrainingSetRow,
} from './features.ts';
export type {
  ApprovalReply,
  Approvals,
  HistoryChain,
  HistoryRow,
  PastProduction,
  PolicyView,
  SignedHead,
} from './governance.ts';
export type { InferReply, TensorFormat } from './infer-body.ts';
export type {
  InferenceClient,
  InferOptions,
  InferRequest,
  ModelMetadata,
  PredictOptions,
  ServerMetadata,
} from './inference.ts';
export type { JobEvent, JobsClient } from './jobs.ts';
export type { MlflowImportOptions } from './mlflow/import-mlflow.ts';
export type { ImportProgress, ImportReport } from './mlflow/import-state.ts';
export type {
  DetailedEvent,
  Erasure,
  MetricsReport,
  PredictionFilter,
  QualityReportOfModel,
  RecordedFeedback,
} from './monitoring.ts';
export type { UploadSource } from './part-sender.ts';
export { RETRIES_DEFAULT } from './retry.ts';
export type { Rollout, RolloutChange, RolloutStatus } from './rollouts.ts';
export type {
  BundleParts,
  ConversionRequest,
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
  ServedVersion,
  ServiceStatus,
  ServingReport,
  TrainingRequest,
  VersionDetail,
  VersionSummary,
  WorkerView,
} from './shapes.ts';
export type { StorageCollection } from './storage.ts';
export type { AuditEntry, TenantLimits, TenantUsageView, TenantView } from './tenants.ts';
export type { Datatype, NumericArray, Tensor } from './tensor.ts';
export type { NestedValues, TensorInput } from './tensor-input.ts';
export type {
  LoadedModelVersion,
  TrainingRun,
  TrainingRunConfig,
  TrainingRunOptions,
} from './training-runs.ts';
export type { ClientOptions } from './transport.ts';
export { CALL_TIMEOUT_MS } from './transport.ts';
export type {
  ModelImport,
  PartUpload,
  UploadedVersion,
  UploadFields,
  UploadProgress,
} from './uploads.ts';
export type { WebhookAttempt, WebhookDelivery, WebhookView } from './webhooks.ts';
