import type {
  ArtifactRef,
  GraphOptions,
  QualityPolicy,
  Quantization,
  Stage,
  WireError,
  WorkerPool,
} from '@millrace/contracts';

/** Some items and where the next ones begin; `nextCursor` is null on the last page. */
export type Page<T> = { items: T[]; nextCursor: string | null };
export type PageQuery = { limit?: number; cursor?: string };

export type ServiceStatus = {
  name: string;
  state: 'ready' | 'not-ready' | 'down';
  version: string | null;
  latencyMs: number | null;
  failing: string[];
};
export type PlatformStatus = { state: 'ready' | 'degraded'; principal: string; services: ServiceStatus[] };

export type WorkerView = {
  id: string;
  pool: string;
  kinds: string[];
  devices: string[];
  host: string;
  seenAt: string;
};
export type LogLine = { seq: number; time: string; level: string; message: string; fence: number };

/** A training alone: recipe and parameters on a dataset version. */
export type TrainingRequest = {
  recipe: string;
  params?: Record<string, unknown>;
  pool?: WorkerPool;
  dataset: { versionId: string };
};
/** A conversion of files that the platform has. */
export type ConversionRequest = {
  source: {
    trainingJobId?: string;
    /** What the files are; a SavedModel unless given. */
    format?: 'saved_model' | 'keras' | 'tfjs_graph' | 'weights';
    files: ArtifactRef[];
  };
  opset?: number;
  tag?: string;
  signature?: string;
  tolerance?: number;
  /** How a graph is built of weights. */
  graph?: GraphOptions;
  /** What the model is reduced to. */
  quantization?: Quantization;
};

/** What a pipeline should make: data by the recipe, a trained model, its ONNX form, a version that is served. */
export type PipelineRequest = {
  recipe: string;
  params?: Record<string, unknown>;
  pool?: WorkerPool;
  /** Parameters of the recipe's generator, or a version that is there. */
  dataset?: { name?: string; params?: Record<string, unknown> } | { versionId: string };
  model: { name: string; version?: string };
  conversion?: {
    opset?: number;
    tolerance?: number;
    /** `target` is the column of the truth in the dataset. */
    quantization?: Pick<Quantization, 'mode' | 'agreementMin'> & { target?: string };
  };
};
export type Pipeline = {
  id: string;
  state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  stage: 'dataset' | 'train' | 'convert' | 'register' | 'load' | 'done';
  recipe: string;
  params: Record<string, unknown>;
  model: string;
  dataset: { datasetId: string; versionId: string; digest: string; isReused: boolean } | null;
  trainingJobId: string | null;
  conversionJobId: string | null;
  modelVersion: { id: string; version: string; ordinal: number; isReused: boolean } | null;
  times: Record<string, string>;
  error: WireError | null;
  createdAt: string;
  finishedAt: string | null;
};

type Pointer = { version: string; ordinal: number; stage: Stage } | null;
export type ModelView = {
  id: string;
  name: string;
  createdAt: string;
  versions: number;
  latest: Pointer;
  serving: Pointer;
  aliases: Record<string, string>;
};
export type VersionSummary = {
  id: string;
  version: string;
  ordinal: number;
  stage: Stage;
  framework: string;
  packageDigest: string;
  modelDigest: string;
  createdBy: string;
  createdAt: string;
};
export type VersionDetail = VersionSummary & {
  model: string;
  rootDigest: string;
  keyId: string;
  files: ArtifactRef[];
  servingFile: string;
  inputs: { name: string; dtype: string; shape: (number | null)[] | null }[];
  outputs: { name: string; dtype: string; shape: (number | null)[] | null }[];
  lineage: Record<string, unknown>;
  metrics: Record<string, unknown>;
};
/** Everything that lets anybody verify a version; `publicKeyPem` is what the registry says, so compare it with yours. */
export type BundleParts = {
  model: string;
  version: string;
  packageDigest: string;
  manifest: { files: ArtifactRef[] };
  signature: Record<string, unknown>;
  publicKeyPem: string;
  attestations: {
    name: 'provenance' | 'meta' | 'conversion';
    predicateType: string;
    bundle: Record<string, unknown>;
  }[];
  /** The signed statement of which version this is; null for one that was registered before there were any. */
  identity: Record<string, unknown> | null;
  /** Rows of the model's history from the registration of the version on, and the signed statement about them. */
  history: {
    rows: { entry: Record<string, unknown>; prevHash: string; hash: string }[];
    statement: Record<string, unknown>;
  };
  files: (ArtifactRef & { url: string })[];
};

export type ModelUpload = {
  modelId: string;
  version: string;
  framework: 'onnx' | 'tensorflow';
  file: Blob;
  fileName?: string;
  sha256?: string;
  stage?: Stage;
  inputSchema?: string;
  outputSchema?: string;
  metadata?: string;
};
export type PredictRequest = {
  modelId: string;
  version?: string;
  /** Values of each input, or `{from: ['view.feature'], missing?}` for those of features now. */
  features: Record<string, unknown>;
  /** Whose features: the key of each entity by its name. */
  entities?: Record<string, string | number>;
  userId?: string;
  sessionId?: string;
};
export type Prediction = {
  inferenceId: string;
  prediction: Record<string, unknown>;
  confidence: number | null;
  modelVersion: string;
  latencyMs: number;
};
export type InferenceEvent = {
  id: string;
  timestamp: number;
  modelId: string;
  modelVersion: string;
  framework: string;
  featuresIn: string;
  prediction: string;
  confidence: number | null;
  latencyMs: number;
  correct: boolean | null;
};
/** A version in memory; times in ms. */
export type ServedVersion = {
  modelVersionId: string;
  model: string;
  version: string;
  stage: string;
  /** `ready`, `restarting` or `quarantined`. */
  state: string;
  /** `inline`, or `host`: in processes of its own. */
  placement: string;
  placementReason: string;
  isBatched: boolean;
  batchReason: string;
  /** Shortest run of one row, measured at the load. */
  rowMs: number;
  loadMs: number;
  loadedAt: string;
  residentBytes: number;
  /** Processes of its own. */
  hostPids: number[];
  /** Counts since the load, and `depth`: requests that wait now. */
  queue: Record<string, number>;
  latencyMs: { mean: number; p50: number; p99: number; queueMean: number };
};

export type ServingReport = {
  models: ServedVersion[];
  failures: { model: string; version: string; code: string; message: string; at: string }[];
  telemetry: Record<string, number>;
};

export type ModelMetrics = {
  modelId: string | null;
  count: number;
  avgLatency: number | null;
  avgConfidence: number | null;
  accuracy: number | null;
};

export type DatasetView = {
  id: string;
  name: string;
  description: string;
  quality: QualityPolicy;
  createdAt: string;
};
export type DeadLetter = {
  sequence: number;
  time: string;
  consumer: string;
  subject: string;
  messageId: string;
  code: string;
  message: string;
  deliveries: number;
  payload: string;
};
export type KeyView = {
  id: string;
  principal: string;
  tenant: string;
  scopes: string[];
  note: string;
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
};
