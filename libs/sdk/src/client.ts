import type { ArtifactRef, JobView, Stage } from '@millrace/contracts';
import { createKeysClient, createPrincipalsClient } from './access.ts';
import { createBatchJobsClient } from './batch-jobs.ts';
import { createBundlesClient } from './bundles.ts';
import { createDatasetUploadsClient } from './dataset-uploads.ts';
import { createDatasetsClient } from './datasets.ts';
import { createFeaturesClient } from './features.ts';
import { createGovernanceClient } from './governance.ts';
import { createInferenceClient } from './inference.ts';
import type { JobsClient } from './jobs.ts';
import { createJobsClient } from './jobs.ts';
import { createImportsClient } from './mlflow/import-mlflow.ts';
import { createMonitoringClient } from './monitoring.ts';
import { createRolloutsClient } from './rollouts.ts';
import type {
  BundleParts,
  ConversionRequest,
  DeadLetter,
  InferenceEvent,
  ModelMetrics,
  ModelUpload,
  ModelView,
  Page,
  PageQuery,
  Pipeline,
  PipelineRequest,
  PlatformStatus,
  ServingReport,
  TrainingRequest,
  VersionDetail,
  VersionSummary,
  WorkerView,
} from './shapes.ts';
import { createStorageClient } from './storage.ts';
import { createAuditClient, createTenantsClient } from './tenants.ts';
import { createTrainingRuns } from './training-runs.ts';
import type { ClientOptions, Transport } from './transport.ts';
import { createTransport } from './transport.ts';
import { createUploadsClient } from './uploads.ts';
import { createWebhooksClient } from './webhooks.ts';

/** An upload is answered when the model is stored, signed and warm. */
const UPLOAD_TIMEOUT_MS = 600_000;

/** The public API of a platform. Every method throws AppError with a code of the catalogue. */
export type Client = ReturnType<typeof createClient>;

/** A client of the platform whose gateway is at `url`. */
export function createClient(options: ClientOptions) {
  const transport = createTransport(options);
  const { predict, infer, ...inference } = createInferenceClient(transport);
  return {
    url: options.url,
    predict,
    infer,
    inference,
    ...createTrainingRuns(transport, { isModelReady: inference.isModelReady, predict }),
    status: async () => await transport.call<PlatformStatus>('GET', '/v1/status'),
    training: {
      ...createJobsClient(transport, '/v1/training/jobs'),
      create: createJob<TrainingRequest>(transport, '/v1/training/jobs'),
      workers: workersOf(transport),
    },
    conversions: {
      ...createJobsClient(transport, '/v1/conversions'),
      create: createJob<ConversionRequest>(transport, '/v1/conversions'),
      files: conversionFiles(transport),
    },
    ingests: createJobsClient(transport, '/v1/datasets/ingest-jobs') satisfies JobsClient,
    pipelines: pipelinesClient(transport),
    models: modelsClient(transport),
    imports: createImportsClient(options),
    bundles: createBundlesClient(transport),
    storage: createStorageClient(transport),
    uploads: createUploadsClient(transport, options.fetch),
    rollouts: createRolloutsClient(transport),
    governance: createGovernanceClient(transport),
    batchJobs: createBatchJobsClient(transport),
    features: createFeaturesClient(transport),
    datasets: { ...createDatasetsClient(transport), ...createDatasetUploadsClient(transport, options.fetch) },
    deadLetters: deadLettersClient(transport),
    keys: createKeysClient(transport),
    principals: createPrincipalsClient(transport),
    tenants: createTenantsClient(transport),
    audit: createAuditClient(transport),
    webhooks: createWebhooksClient(transport),
    monitoring: createMonitoringClient(transport),
    feedback: async (feedback: {
      inferenceId: string;
      outcome: Record<string, unknown>;
      correct?: boolean;
    }) =>
      await transport.call<{ success: true; inferenceId: string }>('POST', '/feedback', { body: feedback }),
    events: async (
      query: { modelId?: string; userId?: string; limit?: number; startTime?: number; endTime?: number } = {},
    ) =>
      await transport.call<{ events: InferenceEvent[]; count: number }>('GET', '/monitoring/events', {
        query,
      }),
    metrics: async (query: { modelId: string; startTime?: number; endTime?: number }) =>
      await transport.call<ModelMetrics>('GET', '/monitoring/metrics', { query }),
  };
}

/** Submits a job; with a key the same request twice makes one. */
function createJob<Request extends object>({ call }: Transport, path: string) {
  return async (request: Request, idempotencyKey?: string) =>
    await call<JobView>('POST', path, {
      body: request,
      ...(idempotencyKey === undefined
        ? {}
        : { headers: { 'idempotency-key': idempotencyKey }, isRepeatable: true }),
    });
}

/** What a conversion made, with URLs that are good for some minutes. */
function conversionFiles({ call }: Transport) {
  return async (jobId: string) =>
    (
      await call<{ items: (ArtifactRef & { url: string })[] }>(
        'GET',
        `/v1/conversions/${encodeURIComponent(jobId)}/files`,
      )
    ).items;
}

function workersOf({ call }: Transport) {
  return async () => (await call<{ items: WorkerView[] }>('GET', '/v1/training/workers')).items;
}

function pipelinesClient({ call }: Transport) {
  const one = (id: string) => `/v1/pipelines/${encodeURIComponent(id)}`;
  return {
    /** With a key the same request twice makes one pipeline. */
    create: async (request: PipelineRequest, idempotencyKey?: string) =>
      await call<Pipeline>('POST', '/v1/pipelines', {
        body: request,
        ...(idempotencyKey === undefined
          ? {}
          : { headers: { 'idempotency-key': idempotencyKey }, isRepeatable: true }),
      }),
    list: async (query: PageQuery = {}) => await call<Page<Pipeline>>('GET', '/v1/pipelines', { query }),
    get: async (id: string) => await call<Pipeline>('GET', one(id)),
    cancel: async (id: string) => await call<Pipeline>('POST', `${one(id)}/cancel`),
  };
}

function modelsClient({ call }: Transport) {
  const model = (name: string) => `/v1/models/${encodeURIComponent(name)}`;
  const version = (name: string, label: string) => `${model(name)}/versions/${encodeURIComponent(label)}`;
  return {
    list: async (query: PageQuery = {}) => await call<Page<ModelView>>('GET', '/v1/models', { query }),
    get: async (name: string) => await call<ModelView>('GET', model(name)),
    versions: async (name: string, query: PageQuery = {}) =>
      await call<Page<VersionSummary>>('GET', `${model(name)}/versions`, { query }),
    version: async (name: string, label: string) => await call<VersionDetail>('GET', version(name, label)),
    setStage: async (name: string, label: string, stage: Stage) =>
      await call<VersionDetail>('POST', `${version(name, label)}/stage`, { body: { stage } }),
    /** What the inference servers have in memory, how it runs and how fast it answers. */
    serving: async () => await call<ServingReport>('GET', '/v1/inference/models'),
    bundleParts: async (name: string, label: string) =>
      await call<BundleParts>('GET', `${version(name, label)}/bundle-parts`),
    upload: async (upload: ModelUpload) =>
      await call<{ success: true; modelId: string; version: string; uploadedAt: number }>(
        'POST',
        '/model/upload',
        {
          body: uploadForm(upload),
          timeoutMs: UPLOAD_TIMEOUT_MS,
        },
      ),
  };
}

/** Fields first, so that the platform can refuse a bad one before it reads the file. */
function uploadForm({ file, fileName, ...fields }: ModelUpload): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append('file', file, fileName ?? 'model.onnx');
  return form;
}

function deadLettersClient({ call }: Transport) {
  const one = (sequence: number) => `/v1/dead-letters/${sequence}`;
  return {
    list: async (query: { after?: number; limit?: number } = {}) =>
      (await call<{ items: DeadLetter[] }>('GET', '/v1/dead-letters', { query })).items,
    get: async (sequence: number) => await call<DeadLetter>('GET', one(sequence)),
    redrive: async (sequence: number) => await call<null>('POST', `${one(sequence)}/redrive`),
    drop: async (sequence: number) => await call<null>('DELETE', one(sequence)),
  };
}
