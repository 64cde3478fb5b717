import { AppError, PipelineCancelled } from '@millrace/contracts';
import type { PipelineRow } from './pipeline.table.ts';
import type { PipelineServiceOptions } from './pipeline-moves.ts';
import { createPipelineMoves } from './pipeline-moves.ts';
import { createPipelineStages } from './pipeline-stages.ts';
import { createSubmission } from './pipeline-submission.ts';

export type PipelineService = ReturnType<typeof createPipelineService>;

/** The rules of the saga: requests, the stages that events move it through, and its cancellation. */
export function createPipelineService(options: PipelineServiceOptions) {
  const { database, pipelines, outbox } = options;
  const moves = createPipelineMoves(options);

  return {
    submit: createSubmission(options, moves),
    fail: moves.fail,
    ...createPipelineStages(options, moves),

    async get(tenant: string, id: string): Promise<PipelineRow> {
      const row = await pipelines.find(database.db, id);
      if (row === undefined || row.tenant !== tenant)
        throw new AppError('pipeline_not_found', `There is no pipeline ${id}.`);
      return row;
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
