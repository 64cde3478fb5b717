import { setTimeout as sleep } from 'node:timers/promises';
import type { JobView, WireError, WorkerPool } from '@millrace/contracts';
import { AppError, appErrorFrom } from '@millrace/contracts';
import type { InferenceClient } from './inference.ts';
import type {
  DatasetView,
  Page,
  Pipeline,
  PipelineRequest,
  VersionDetail,
  VersionSummary,
} from './shapes.ts';
import type { Transport } from './transport.ts';

const POLL_MS = 500;
const PAGE_ITEMS = 200;
/** A version that is not in memory yet may take this long to load (ms). */
const LOAD_TIMEOUT_MS = 120_000;

/** What to train, on which data, and what to call it. */
export type TrainingRunConfig = {
  modelName: string;
  /** Label of the version; the next ordinal without it. */
  version?: string;
  recipe: string;
  /** Parameters of the recipe, such as epochs, batchSize, learningRate. */
  params?: Record<string, unknown>;
  pool?: WorkerPool;
  /** Parameters of the recipe's own generator, which makes the data unless they are named below. */
  datasetParams?: Record<string, unknown>;
  /** A dataset version that is there. */
  datasetVersionId?: string;
  /** `s3://`, `gs://`, `az://`, `http://` or `https://`: becomes a dataset version first. */
  dataPath?: string;
  /** How `dataPath` is read: target, columns, split … as the datasets service takes them. */
  ingest?: Record<string, unknown>;
  /** How the model is converted: opset, tolerance, and what it is reduced to for serving. */
  conversion?: PipelineRequest['conversion'];
};

export type TrainingRunOptions = {
  /** Ends the wait and cancels the pipeline. */
  signal?: AbortSignal;
  /** The same key and config twice make one pipeline. */
  idempotencyKey?: string;
  /** Told each state of the pipeline that differs from the one before. */
  onNews?: (pipeline: Pipeline) => void;
};

/** A finished training: its pipeline, the job with metrics and files, and the version that it made. */
export type TrainingRun = { pipeline: Pipeline; job: JobView; version: VersionDetail };

/** A version that inference has in memory, and its predictions. */
export type LoadedModelVersion = VersionDetail & {
  predict: (inputs: Parameters<InferenceClient['predict']>[1]) => ReturnType<InferenceClient['predict']>;
};

type DatasetVersion = { id: string; state: 'pending' | 'ready' | 'failed'; error: WireError | null };

/** Trainings from start to served version, and the versions that they made. */
export function createTrainingRuns(
  { call }: Transport,
  inference: Pick<InferenceClient, 'isModelReady' | 'predict'>,
) {
  const versionsPath = (model: string) => `/v1/models/${encodeURIComponent(model)}/versions`;

  /** The dataset version that a path becomes; the dataset is called after the path. */
  async function ingest(path: string, options: TrainingRunConfig['ingest'], signal?: AbortSignal) {
    const name = path.replaceAll(/[/\\:]+/g, '-').slice(0, 255);
    const dataset = await call<DatasetView>('POST', '/v1/datasets', { body: { name } });
    const source = /^https?:/.test(path) ? { type: 'http', url: path } : { type: 'bucket', uri: path };
    const home = `/v1/datasets/${dataset.id}`;
    let version = await call<DatasetVersion>('POST', `${home}/ingest`, {
      body: { source, ...(options === undefined ? {} : { options }) },
    });
    while (version.state === 'pending') {
      await pause(signal);
      version = await call<DatasetVersion>('GET', `${home}/versions/${version.id}`);
    }
    if (version.state === 'failed') throw appErrorFrom(version.error ?? {});
    return version.id;
  }

  async function follow(submitted: Pipeline, { signal, onNews }: TrainingRunOptions): Promise<Pipeline> {
    let last = '';
    for (let pipeline = submitted; ; ) {
      const { state, stage } = pipeline;
      if (`${state} ${stage}` !== last) onNews?.(pipeline);
      last = `${state} ${stage}`;
      if (state === 'succeeded') return pipeline;
      if (state !== 'running') throw appErrorFrom(pipeline.error ?? { code: 'job_cancelled' });
      await pause(signal).catch(async (error: unknown) => {
        await call('POST', `/v1/pipelines/${pipeline.id}/cancel`).catch(() => undefined);
        throw error;
      });
      pipeline = await call<Pipeline>('GET', `/v1/pipelines/${pipeline.id}`);
    }
  }

  return {
    /**
     * Ingests if need be, trains, converts, registers and loads; answers when the version is served. Throws the error of
     * the stage that failed, and `request_cancelled` when its signal ends it.
     */
    async runTrainingJob(config: TrainingRunConfig, options: TrainingRunOptions = {}): Promise<TrainingRun> {
      const { modelName, version, recipe, params, pool, dataPath, datasetVersionId, conversion } = config;
      if ([dataPath, datasetVersionId, config.datasetParams].filter((one) => one !== undefined).length > 1)
        throw new AppError(
          'invalid_request',
          'Data are named by one of dataPath, datasetVersionId and datasetParams.',
        );
      const versionId =
        dataPath === undefined ? datasetVersionId : await ingest(dataPath, config.ingest, options.signal);
      const { idempotencyKey } = options;
      const submitted = await call<Pipeline>('POST', '/v1/pipelines', {
        body: {
          recipe,
          model: { name: modelName, ...(version === undefined ? {} : { version }) },
          ...(params === undefined ? {} : { params }),
          ...(pool === undefined ? {} : { pool }),
          ...(conversion === undefined ? {} : { conversion }),
          ...datasetOf(versionId, config.datasetParams),
        },
        ...(idempotencyKey === undefined
          ? {}
          : { headers: { 'idempotency-key': idempotencyKey }, isRepeatable: true }),
      });
      const pipeline = await follow(submitted, options);
      if (pipeline.trainingJobId === null || pipeline.modelVersion === null)
        throw new AppError('internal', `Pipeline ${pipeline.id} ended without a version.`);
      const job = await call<JobView>('GET', `/v1/training/jobs/${pipeline.trainingJobId}`);
      const made = await call<VersionDetail>(
        'GET',
        `${versionsPath(modelName)}/${encodeURIComponent(pipeline.modelVersion.version)}`,
      );
      return { pipeline, job, version: made };
    },

    /** Every version of a model, newest first. */
    async listModelVersions(modelName: string): Promise<VersionSummary[]> {
      const found: VersionSummary[] = [];
      let cursor: string | undefined;
      do {
        const query = { limit: PAGE_ITEMS, ...(cursor === undefined ? {} : { cursor }) };
        const page = await call<Page<VersionSummary>>('GET', versionsPath(modelName), { query });
        found.push(...page.items);
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      return found;
    },

    /** A version with its details and its predictions, once inference has it in memory. Throws `model_not_ready`. */
    async loadModelVersion(modelName: string, version: string): Promise<LoadedModelVersion> {
      const path = `${versionsPath(modelName)}/${encodeURIComponent(version)}`;
      const detail = await call<VersionDetail>('GET', path);
      const deadline = performance.now() + LOAD_TIMEOUT_MS;
      while (!(await inference.isModelReady(modelName, version))) {
        if (performance.now() > deadline)
          throw new AppError(
            'model_not_ready',
            `${modelName} ${version} was not loaded in time; see its stage.`,
          );
        await pause();
      }
      return { ...detail, predict: (inputs) => inference.predict(modelName, inputs, { version }) };
    },
  };
}

function datasetOf(versionId: string | undefined, params: Record<string, unknown> | undefined) {
  if (versionId !== undefined) return { dataset: { versionId } };
  return params === undefined ? {} : { dataset: { params } };
}

async function pause(signal?: AbortSignal): Promise<void> {
  await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {
    throw new AppError('request_cancelled', 'The training was given up by its signal.');
  });
}
