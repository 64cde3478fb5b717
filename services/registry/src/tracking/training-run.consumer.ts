import type { ConsumerDeps, MessageInfo } from '@millrace/bus';
import { ownerOf, startConsumer } from '@millrace/bus';
import { TrainingJobEvents } from '@millrace/contracts';
import type { Training, TrainingRunService } from './training-run.service.ts';

const DURABLE = 'registry-training-job';

/** Follows the platform's trainings into their runs. */
export function startTrainingRunConsumers(deps: ConsumerDeps & { trainingRuns: TrainingRunService }): {
  stop(): Promise<void>;
} {
  const { trainingRuns } = deps;
  const trainingOf = (
    { jobId, spec }: { jobId: string; spec: Record<string, unknown> },
    info: MessageInfo,
  ): Training => ({ jobId, spec, tenant: ownerOf(info) });
  const pulls = [
    startConsumer(deps, {
      event: TrainingJobEvents.created,
      durable: `${DURABLE}-created`,
      apply: (tx, data, _prepared, info) => trainingRuns.onCreated(tx, trainingOf(data, info)),
    }),
    startConsumer(deps, {
      event: TrainingJobEvents.started,
      durable: `${DURABLE}-started`,
      apply: (tx, { jobId }) => trainingRuns.onStarted(tx, jobId),
    }),
    startConsumer(deps, {
      event: TrainingJobEvents.succeeded,
      durable: `${DURABLE}-succeeded`,
      apply: (tx, data, _prepared, info) => trainingRuns.onSucceeded(tx, trainingOf(data, info), data.result),
    }),
    startConsumer(deps, {
      event: TrainingJobEvents.failed,
      durable: `${DURABLE}-failed`,
      apply: (tx, data, _prepared, info) => trainingRuns.onFailed(tx, trainingOf(data, info), data.error),
    }),
    startConsumer(deps, {
      event: TrainingJobEvents.cancelled,
      durable: `${DURABLE}-cancelled`,
      apply: (tx, data, _prepared, info) => trainingRuns.onCancelled(tx, trainingOf(data, info)),
    }),
  ];
  return {
    async stop() {
      await Promise.all(pulls.map((pull) => pull.stop()));
    },
  };
}
