import type { ConsumerDeps, Pull } from '@millrace/bus';
import { startConsumer } from '@millrace/bus';
import { TrainingJobEvents, TrainSpec } from '@millrace/contracts';
import Value from 'typebox/value';
import type { TrainingRepository } from './training.repository.ts';
import type { TrainingState } from './training.table.ts';

/** Keeps the lineage from versions to trainings by the facts of training jobs. */
export function startTrainingConsumers(deps: ConsumerDeps & { trainings: TrainingRepository }): Pull[] {
  const { trainings, ...consumer } = deps;
  const facts: [keyof typeof TrainingJobEvents, TrainingState][] = [
    ['created', 'running'],
    ['succeeded', 'succeeded'],
    ['failed', 'failed'],
    ['cancelled', 'cancelled'],
  ];
  return facts.map(([fact, state]) =>
    startConsumer(consumer, {
      event: TrainingJobEvents[fact],
      durable: `datasets-training-job-${fact}`,
      apply: async (tx, data) => {
        if (!('spec' in data) || !Value.Check(TrainSpec, data.spec)) return;
        const { recipe, dataset } = data.spec;
        await trainings.record(tx, { jobId: data.jobId, versionId: dataset.versionId, recipe, state });
      },
    }),
  );
}
