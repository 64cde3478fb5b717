import type { Outbox } from '@millrace/bus';
import type {
  ConversionJobEvents,
  DatasetInput,
  DatasetVersionReady,
  EventData,
  JobResult,
  ModelVersionLoaded,
  ModelVersionRegistered,
  WireError,
  WorkerPool,
} from '@millrace/contracts';
import {
  AppError,
  isValidName,
  newId,
  PipelineCancelled,
  PipelineConversionRequested,
  PipelineDatasetRequested,
  PipelineFailed,
  PipelineRegistrationRequested,
  PipelineSucceeded,
} from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { lockName } from '@millrace/database';
import type { JobRow, JobService } from '@millrace/jobs';
import { specDigest } from '@millrace/jobs';
import type { RecipeCatalog } from '@millrace/recipes';
import type { QuotaOf } from '@millrace/service-kit';
import { assertQuota } from '@millrace/service-kit';
import type { PipelineRepository } from './pipeline.repository.ts';
import type { PipelineRow, PipelineStage } from './pipeline.table.ts';
import type { PipelineQuantization } from './pipeline-quantization.ts';
import { withSamples } from './pipeline-quantization.ts';
import { conversionSource, digestIn, graphDigests, packageFiles } from './trained-files.ts';

const DEFAULT_OPSET = 17;
/** Largest absolute difference between ONNX and framework: float32 sums of a small CNN in another order. */
const DEFAULT_TOLERANCE = 1e-4;
export type PipelineInput = {
  tenant: string;
  /** The principal that asks for it. */
  by: string;
  recipe: string;
  params: Record<string, unknown>;
  /** The recipe's unless given. */
  pool?: WorkerPool;
  dataset?: { name?: string; params?: Record<string, unknown> };
  /** A version that is there, instead of one that the recipe generates. */
  datasetVersion?: DatasetInput;
  model: string;
  version?: string;
  opset?: number;
  tolerance?: number;
  quantization?: PipelineQuantization;
  idempotencyKey?: string;
};

export type PipelineServiceOptions = {
  database: Database;
  pipelines: PipelineRepository;
  outbox: Outbox;
  recipes: RecipeCatalog;
  /** Looked up when needed: the job service's hooks point back here. */
  jobs: () => JobService;
  /** Bounds of tenants. */
  quotaOf?: QuotaOf;
};

export type PipelineService = ReturnType<typeof createPipelineService>;

/** The rules of the saga: each event moves a pipeline one stage on; events that come late or twice change nothing. */
export function createPipelineService(options: PipelineServiceOptions) {
  const { database, pipelines, outbox, recipes } = options;

  async function fail(tx: Executor, id: string, error: WireError): Promise<void> {
    const row = await pipelines.end(tx, id, {
      state: 'failed',
      error: { code: error.code, message: error.message },
    });
    if (row === undefined) return;
    await outbox.append(
      tx,
      PipelineFailed,
      id,
      {
        pipelineId: id,
        stage: row.stage,
        error: { code: error.code, message: error.message },
      },
      { tenant: row.tenant },
    );
  }

  async function submit(input: PipelineInput): Promise<{ pipeline: PipelineRow; isNew: boolean }> {
    for (const name of [input.model, ...(input.version === undefined ? [] : [input.version])]) {
      if (!isValidName(name)) {
        throw new AppError(
          'invalid_name',
          `'${name}' is not a name: 1 to 255 characters without slash, backslash, colon or control characters.`,
        );
      }
    }
    const recipe = recipes.resolve(input.recipe, input.params, input.dataset?.params);
    const request = {
      recipe: input.recipe,
      recipeVersion: recipe.version,
      params: recipe.params,
      pool: input.pool ?? recipe.pool,
      dataset:
        input.datasetVersion === undefined
          ? { name: input.dataset?.name ?? recipe.datasetName, params: recipe.datasetParams }
          : { versionId: input.datasetVersion.versionId },
      model: input.model,
      opset: input.opset ?? DEFAULT_OPSET,
      tolerance: input.tolerance ?? DEFAULT_TOLERANCE,
      ...(input.version === undefined ? {} : { version: input.version }),
      ...(input.quantization === undefined ? {} : { quantization: input.quantization }),
    };
    const requestSha256 = specDigest(request);
    return database.transaction(async (tx) => {
      const id = newId();
      const row = await pipelines.insert(tx, {
        id,
        tenant: input.tenant,
        createdBy: input.by,
        request,
        requestSha256,
        idempotencyKey: input.idempotencyKey ?? null,
      });
      if (row === undefined) return existing(tx, input, requestSha256);
      await assertRoom(tx, input.tenant);
      if (input.datasetVersion !== undefined)
        return { pipeline: await train(tx, row, input.datasetVersion, true), isNew: true };
      await outbox.append(
        tx,
        PipelineDatasetRequested,
        id,
        {
          pipelineId: id,
          recipe: request.recipe,
          params: recipe.datasetParams,
          name: input.dataset?.name ?? recipe.datasetName,
        },
        { tenant: row.tenant },
      );
      return { pipeline: row, isNew: true };
    });
  }

  /** The stage after the dataset: a training of its version. */
  async function train(
    tx: Executor,
    row: PipelineRow,
    dataset: DatasetInput,
    isDatasetReused: boolean,
  ): Promise<PipelineRow> {
    const { job } = await options.jobs().create(tx, {
      pool: row.request.pool,
      tenant: row.tenant,
      spec: { recipe: row.request.recipe, params: row.request.params, dataset },
    });
    return pipelines.advance(tx, row, 'train', { dataset, isDatasetReused, trainingJobId: job.id });
  }

  /** The pipeline that is new is among those that are counted. @throws AppError `quota_reached` */
  async function assertRoom(tx: Executor, tenant: string): Promise<void> {
    await assertQuota(options.quotaOf?.(tenant) ?? {}, 'openJobs', 1, async () => {
      await lockName(tx, `quota:pipelines:${tenant}`);
      return (await pipelines.countRunning(tx, tenant)) - 1;
    });
  }

  async function existing(tx: Executor, input: PipelineInput, requestSha256: string) {
    const row = await pipelines.findByKey(tx, input.tenant, input.idempotencyKey ?? '');
    if (row === undefined) throw new AppError('internal', 'A pipeline was refused without a reason.');
    if (row.requestSha256 !== requestSha256) {
      throw new AppError(
        'idempotency_mismatch',
        'This Idempotency-Key was used with another body; send a new key.',
      );
    }
    return { pipeline: row, isNew: false };
  }

  return {
    submit,
    fail,

    async get(tenant: string, id: string): Promise<PipelineRow> {
      const row = await pipelines.find(database.db, id);
      if (row === undefined || row.tenant !== tenant)
        throw new AppError('pipeline_not_found', `There is no pipeline ${id}.`);
      return row;
    },

    async onDatasetReady(tx: Executor, data: EventData<typeof DatasetVersionReady>): Promise<void> {
      if (data.requestId === undefined) return;
      const row = await pipelines.lockAt(tx, data.requestId, ['dataset']);
      if (row === undefined) return;
      const { datasetId, versionId, digest, files } = data;
      await train(tx, row, { datasetId, versionId, digest, files }, data.isReused);
    },

    /** Hook of the training job, in the transaction that completes it. */
    async onTrained(tx: Executor, job: JobRow, result: JobResult): Promise<void> {
      const row = await pipelines.findByTrainingJob(tx, job.id);
      if (row === undefined || row.state !== 'running') return;
      await outbox.append(
        tx,
        PipelineConversionRequested,
        row.id,
        {
          pipelineId: row.id,
          spec: {
            requestId: row.id,
            source: { trainingJobId: job.id, ...conversionSource(result.files) },
            format: 'onnx',
            opset: row.request.opset,
            tag: 'serve',
            signature: 'serving_default',
            tolerance: row.request.tolerance,
            ...(row.request.quantization === undefined
              ? {}
              : { quantization: withSamples(row.request.quantization, row.dataset) }),
          },
        },
        { tenant: row.tenant },
      );
      await pipelines.advance(tx, row, 'convert');
    },

    async onTrainingEnded(tx: Executor, job: JobRow, error: WireError): Promise<void> {
      const row = await pipelines.findByTrainingJob(tx, job.id);
      if (row !== undefined) await fail(tx, row.id, error);
    },

    async onConversionCreated(
      tx: Executor,
      data: EventData<typeof ConversionJobEvents.created>,
    ): Promise<void> {
      const id = requestIdOf(data.spec);
      if (id !== undefined) await pipelines.update(tx, id, { conversionJobId: data.jobId });
    },

    async onConverted(tx: Executor, data: EventData<typeof ConversionJobEvents.succeeded>): Promise<void> {
      const id = requestIdOf(data.spec);
      const row = id === undefined ? undefined : await pipelines.lockAt(tx, id, ['convert']);
      if (row === undefined || row.trainingJobId === null || row.dataset === null) return;
      const training = await options.jobs().repository.find(tx, row.trainingJobId);
      if (training?.result === null || training?.result === undefined) {
        return fail(tx, row.id, {
          code: 'internal',
          message: 'The training job of this pipeline has no result.',
        });
      }
      const { datasetId, versionId, digest } = row.dataset;
      await outbox.append(
        tx,
        PipelineRegistrationRequested,
        row.id,
        {
          pipelineId: row.id,
          model: row.request.model,
          ...(row.createdBy === null ? {} : { by: row.createdBy }),
          ...(row.request.version === undefined ? {} : { version: row.request.version }),
          framework: 'onnx',
          files: packageFiles([...training.result.files, ...data.result.files]),
          weightsDigest: digestIn(training.result.meta, 'weightsDigest'),
          graphDigests: graphDigests(training.result.meta, data.result.files),
          trainingJobId: row.trainingJobId,
          conversionJobId: data.jobId,
          dataset: { datasetId, versionId, digest },
          recipe: row.request.recipe,
          params: row.request.params,
          trainingMeta: training.result.meta,
          conversionMeta: data.result.meta,
        },
        { tenant: row.tenant },
      );
      await pipelines.advance(tx, row, 'register', { conversionJobId: data.jobId });
    },

    async onConversionEnded(
      tx: Executor,
      data: { spec: Record<string, unknown>; error: WireError },
    ): Promise<void> {
      const id = requestIdOf(data.spec);
      const row = id === undefined ? undefined : await pipelines.lockAt(tx, id, ['convert']);
      if (row !== undefined) await fail(tx, row.id, data.error);
    },

    async onRegistered(tx: Executor, data: EventData<typeof ModelVersionRegistered>): Promise<void> {
      if (data.requestId === undefined) return;
      const row = await pipelines.lockAt(tx, data.requestId, ['register']);
      if (row === undefined) return;
      await pipelines.advance(tx, row, 'load', {
        modelVersionId: data.modelVersionId,
        modelVersion: data.version,
        modelVersionOrdinal: data.ordinal,
        isVersionReused: data.isReused,
      });
    },

    async onLoaded(tx: Executor, data: EventData<typeof ModelVersionLoaded>): Promise<void> {
      if (data.requestId === undefined) return;
      const row = await pipelines.lockAt(tx, data.requestId, ['register', 'load']);
      if (row === undefined) return;
      const done = await pipelines.advance(tx, row, 'done', {
        modelVersionId: data.modelVersionId,
        modelVersion: data.version,
        modelVersionOrdinal: data.ordinal,
      });
      await outbox.append(
        tx,
        PipelineSucceeded,
        row.id,
        {
          pipelineId: row.id,
          modelVersionId: data.modelVersionId,
          model: data.model,
          version: data.version,
          isReused: done.isVersionReused,
        },
        { tenant: row.tenant },
      );
    },

    /** A refusal of the dataset, the registration or the load ends the pipeline with that error. */
    async onRefused(
      tx: Executor,
      id: string | undefined,
      stages: readonly PipelineStage[],
      error: WireError,
    ): Promise<void> {
      const row = id === undefined ? undefined : await pipelines.lockAt(tx, id, stages);
      if (row !== undefined) await fail(tx, row.id, error);
    },

    /** Cancels a pipeline and the training it runs; a conversion or registration on its way is told by event. */
    cancel(tenant: string, id: string): Promise<PipelineRow> {
      return database.transaction(async (tx) => {
        const row = await pipelines.find(tx, id);
        if (row === undefined || row.tenant !== tenant)
          throw new AppError('pipeline_not_found', `There is no pipeline ${id}.`);
        if (row.state === 'cancelled') return row;
        const ended = await pipelines.end(tx, id, {
          state: 'cancelled',
          error: { code: 'job_cancelled', message: 'The pipeline was cancelled.' },
        });
        if (ended === undefined)
          throw new AppError('job_not_cancellable', `The pipeline has already ${row.state}.`);
        await outbox.append(
          tx,
          PipelineCancelled,
          id,
          { pipelineId: id, stage: ended.stage },
          { tenant: ended.tenant },
        );
        if (ended.stage === 'train' && ended.trainingJobId !== null)
          await options.jobs().cancelIn(tx, ended.trainingJobId);
        return ended;
      });
    },
  };
}

function requestIdOf(spec: Record<string, unknown>): string | undefined {
  return typeof spec.requestId === 'string' ? spec.requestId : undefined;
}
