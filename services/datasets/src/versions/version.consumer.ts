import type { ConsumerDeps, Outbox, Pull } from '@millrace/bus';
import { ownerOf, startConsumer } from '@millrace/bus';
import { DatasetVersionFailed, isAppError, PipelineDatasetRequested } from '@millrace/contracts';
import type { VersionService } from './version.service.ts';

/** Makes or reuses the version that a pipeline asks for; a request that cannot be met is answered with the reason. */
export function startVersionConsumer(
  deps: ConsumerDeps & { versions: VersionService; outbox: Outbox },
): Pull {
  return startConsumer(deps, {
    event: PipelineDatasetRequested,
    durable: 'datasets-pipeline-dataset-requested',
    apply: async (tx, data, _prepared, info) => {
      const tenant = ownerOf(info);
      try {
        await deps.versions.generate(tx, {
          tenant,
          name: data.name,
          recipe: data.recipe,
          params: data.params,
          requestId: data.pipelineId,
        });
      } catch (error) {
        if (!isAppError(error) || error.retryable) throw error;
        await deps.outbox.append(
          tx,
          DatasetVersionFailed,
          data.pipelineId,
          {
            datasetId: data.pipelineId,
            versionId: data.pipelineId,
            requestId: data.pipelineId,
            error: { code: error.code, message: error.message },
          },
          { tenant },
        );
      }
    },
  });
}
