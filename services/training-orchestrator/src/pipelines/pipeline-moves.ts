import type { Outbox } from '@millrace/bus';
import type { DatasetInput, WireError } from '@millrace/contracts';
import { PipelineFailed } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { JobService } from '@millrace/jobs';
import type { RecipeCatalog } from '@millrace/recipes';
import type { QuotaOf } from '@millrace/service-kit';
import type { PipelineRepository } from './pipeline.repository.ts';
import type { PipelineRow } from './pipeline.table.ts';

/** What the rules of pipelines work on. */
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

/** Moves that more than one rule makes. */
export type PipelineMoves = ReturnType<typeof createPipelineMoves>;

/** How a pipeline fails, and how its training begins. */
export function createPipelineMoves(options: PipelineServiceOptions) {
  const { pipelines, outbox } = options;

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

  return { fail, train };
}
