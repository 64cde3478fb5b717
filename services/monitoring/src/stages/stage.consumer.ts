import type { ConsumerDeps, Pull } from '@millrace/bus';
import { startConsumer } from '@millrace/bus';
import { ModelVersionRegistered, ModelVersionStageChanged } from '@millrace/contracts';
import { timeOfId } from '../time-of-id.ts';
import { recordStage } from './stage.repository.ts';

/** Follows the stages of versions, so that predictions are counted under the one at which they were made. */
export function startStageConsumers(deps: ConsumerDeps): Pull[] {
  const sinceOf = ({ messageId }: { messageId: string }): Date => timeOfId(messageId) ?? new Date();
  return [
    startConsumer(deps, {
      event: ModelVersionRegistered,
      durable: 'monitoring-model-version-registered',
      apply: (tx, { modelVersionId, stage }, _prepared, info) =>
        recordStage(tx, { modelVersionId, stage, since: sinceOf(info) }),
    }),
    startConsumer(deps, {
      event: ModelVersionStageChanged,
      durable: 'monitoring-model-version-stage-changed',
      apply: (tx, { modelVersionId, to }, _prepared, info) =>
        recordStage(tx, { modelVersionId, stage: to, since: sinceOf(info) }),
    }),
  ];
}
