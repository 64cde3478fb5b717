import type { DatasetInput, WorkerPool } from '@millrace/contracts';
import { AppError, isValidName, newId, PipelineDatasetRequested } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { lockName } from '@millrace/database';
import { specDigest } from '@millrace/jobs';
import { assertQuota } from '@millrace/service-kit';
import type { PipelineRow } from './pipeline.table.ts';
import type { PipelineMoves, PipelineServiceOptions } from './pipeline-moves.ts';
import type { PipelineQuantization } from './pipeline-quantization.ts';

const DEFAULT_OPSET = 17;
/** Largest absolute difference between ONNX and framework: float32 sums of a small CNN in another order. */
const DEFAULT_TOLERANCE = 1e-4;

/** A request for a pipeline, checked against its schema. */
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

/** Takes requests: names, parameters and bounds are checked, and an equal request with the same key is the first. */
export function createSubmission(options: PipelineServiceOptions, { train }: PipelineMoves) {
  const { database, pipelines, outbox, recipes } = options;

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

  return submit;
}
