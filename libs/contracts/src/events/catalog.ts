import { DatasetVersionFailed, DatasetVersionReady } from './dataset.ts';
import type { EventDefinition } from './define-event.ts';
import { DriftCleared, DriftDetected } from './drift.ts';
import { FeatureViewChanged, FeatureViewDeleted } from './feature-view.ts';
import { HistoryAdvanced, ModelVersionRefused } from './history.ts';
import {
  ApiKeyCreated,
  ApiKeyRevoked,
  PrincipalChanged,
  PrincipalCreated,
  TenantChanged,
  TenantCreated,
} from './identity.ts';
import { ConversionJobEvents, IngestJobEvents, TrainingJobEvents } from './job.ts';
import { ModelImportAbandoned, ModelImportConversionRequested } from './model-import.ts';
import {
  ModelVersionLoaded,
  ModelVersionLoadFailed,
  ModelVersionRegistered,
  ModelVersionRejected,
  ModelVersionStageChanged,
} from './model-version.ts';
import {
  PipelineCancelled,
  PipelineConversionRequested,
  PipelineDatasetRequested,
  PipelineFailed,
  PipelineRegistrationRequested,
  PipelineSucceeded,
} from './pipeline.ts';
import { RolloutChanged, RolloutDeleted, RolloutRolledBack } from './rollout.ts';
import { ModelVersionVerificationFailed } from './verification.ts';
import { WebhookChanged, WebhookCreated, WebhookDeleted, WebhookDisabled } from './webhook.ts';

/** Every fact of the platform; schemas, AsyncAPI and the Python models are generated from it. */
export const eventCatalog: readonly EventDefinition[] = [
  DatasetVersionReady,
  DatasetVersionFailed,
  FeatureViewChanged,
  FeatureViewDeleted,
  PipelineDatasetRequested,
  PipelineConversionRequested,
  PipelineRegistrationRequested,
  PipelineSucceeded,
  PipelineFailed,
  PipelineCancelled,
  ...Object.values(TrainingJobEvents),
  ...Object.values(ConversionJobEvents),
  ...Object.values(IngestJobEvents),
  ModelImportConversionRequested,
  ModelImportAbandoned,
  ModelVersionRegistered,
  ModelVersionRejected,
  ModelVersionStageChanged,
  ModelVersionLoaded,
  ModelVersionLoadFailed,
  ModelVersionVerificationFailed,
  ModelVersionRefused,
  HistoryAdvanced,
  RolloutChanged,
  RolloutDeleted,
  RolloutRolledBack,
  WebhookCreated,
  WebhookChanged,
  WebhookDeleted,
  DriftDetected,
  DriftCleared,
  WebhookDisabled,
  ApiKeyCreated,
  ApiKeyRevoked,
  PrincipalCreated,
  PrincipalChanged,
  TenantCreated,
  TenantChanged,
];
