export { AppError, appErrorFrom, isAppError } from './app-error.ts';
export type { ErrorKind } from './error-kind.ts';
export type { ErrorCode } from './errors.ts';
export { errorCatalog, isErrorCode } from './errors.ts';
export { eventCatalog } from './events/catalog.ts';
export { DatasetVersionFailed, DatasetVersionReady } from './events/dataset.ts';
export type { EventData, EventDefinition } from './events/define-event.ts';
export { defineEvent } from './events/define-event.ts';
export { DriftCleared, DriftDetected } from './events/drift.ts';
export { FeatureViewChanged, FeatureViewDeleted } from './events/feature-view.ts';
export { HistoryAdvanced, ModelVersionRefused } from './events/history.ts';
export {
  ApiKeyCreated,
  ApiKeyRevoked,
  PrincipalChanged,
  PrincipalCreated,
  TenantChanged,
  TenantCreated,
} from './events/identity.ts';
export { Prediction, PredictionBatch, TensorSummary } from './events/inference.ts';
export type { JobEvents } from './events/job.ts';
export { ConversionJobEvents, IngestJobEvents, TrainingJobEvents } from './events/job.ts';
export { ModelImportAbandoned, ModelImportConversionRequested } from './events/model-import.ts';
export {
  ModelVersionLoaded,
  ModelVersionLoadFailed,
  ModelVersionRegistered,
  ModelVersionRejected,
  ModelVersionStageChanged,
  Stage,
} from './events/model-version.ts';
export {
  PipelineCancelled,
  PipelineConversionRequested,
  PipelineDatasetRequested,
  PipelineFailed,
  PipelineRegistrationRequested,
  PipelineSucceeded,
} from './events/pipeline.ts';
export { RolloutChanged, RolloutDeleted, RolloutRolledBack } from './events/rollout.ts';
export {
  ModelVersionVerificationFailed,
  VERIFICATION_REFUSED_SUBJECT,
  VerificationRefusal,
} from './events/verification.ts';
export { WebhookChanged, WebhookCreated, WebhookDeleted, WebhookDisabled } from './events/webhook.ts';
export { EntityKey, FEATURE_ROWS_MAX, FeatureRow, FeatureRows } from './features/feature-row.ts';
export {
  FEATURES_MAX,
  FeatureEntity,
  FeatureName,
  FeatureSpec,
  FeatureType,
  FeatureViewChange,
  FeatureViewName,
  FeatureViewSpec,
} from './features/feature-view.ts';
export {
  APPROVALS_REQUIRED_MAX,
  LiveStage,
  openPolicy,
  Policy,
  PolicySpec,
} from './governance/policy.ts';
export { isValidName, newId } from './ids.ts';
export { GraphOptions, Quantization } from './jobs/conversion-options.ts';
export {
  BucketSource,
  ColumnRule,
  ColumnType,
  DataFormat,
  FolderSource,
  HttpPaging,
  HttpSource,
  HuggingFaceSource,
  IngestOptions,
  IngestSource,
  QualityPolicy,
  SourceIngestSpec,
  SplitRule,
  UploadSource,
  VectorRule,
} from './jobs/ingest.ts';
export {
  isTerminal,
  JobKind,
  JobProgress,
  JobResult,
  JobState,
  JobView,
  jobTransitions,
  WorkerPool,
  workerPools,
} from './jobs/job.ts';
export { ConvertSpec, DatasetInput, IngestSpec, TrainSpec } from './jobs/specs.ts';
export type { WorkerMethod } from './jobs/worker-protocol.ts';
export {
  AnnounceReply,
  AnnounceRequest,
  Checkpoint,
  CheckpointFile,
  CheckpointRequest,
  ClaimedJob,
  ClaimReply,
  ClaimRequest,
  CompleteRequest,
  FailRequest,
  FenceReply,
  FenceRequest,
  JobMessage,
  JobTelemetry,
  RenewRequest,
  workerMethods,
} from './jobs/worker-protocol.ts';
export { ArtifactRef, JsonObject, Name, Sha256, Timestamp, Uuid, WireError } from './primitives.ts';
export {
  BucketRange,
  ROLLOUT_BUCKETS,
  RolloutCache,
  RolloutCanary,
  RolloutPlan,
  RolloutRule,
  RolloutShadow,
  RolloutSpec,
  RolloutSticky,
  RolloutWeight,
} from './rollouts/rollout.ts';
export type { RolloutVersionCounts } from './rollouts/rollout-report.ts';
export {
  bucketLatencyMs,
  latencyBucket,
  RolloutReport,
  rolloutReportSubject,
  ShadowCounts,
} from './rollouts/rollout-report.ts';
export { findDatasetMethod } from './rpc/find-dataset.ts';
export {
  LoadVersionReply,
  LoadVersionRequest,
  loadVersionMethod,
  ResolvedVersion,
  ResolveVersionRequest,
  resolveVersionMethod,
  ServedTensor,
} from './rpc/model-serving.ts';
export { READ_VIEWS_MAX, ReadFeatures, readFeaturesMethod } from './rpc/read-features.ts';
export { DIGESTS_MAX, referencedDigestsMethod } from './rpc/referenced-digests.ts';
export type { TenantCount, TenantUsage } from './rpc/tenant-records.ts';
export {
  OpenJobs,
  OWNED_DIGESTS_MAX,
  ownedDigestsMethod,
  TenantQuota,
  tenantUsageMethod,
} from './rpc/tenant-records.ts';
export { halfScalar, shortestSingle, wholeScalar } from './tensor-scalars.ts';
