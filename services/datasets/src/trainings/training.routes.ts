import { AppError, Timestamp, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import type { TrainingRepository } from './training.repository.ts';

/** Trainings of a version that are listed, the newest first. */
const TRAININGS_MAX = 500;

export type TrainingRoutesOptions = {
  database: Database;
  datasets: DatasetRepository;
  trainings: TrainingRepository;
};

const TrainingView = Type.Object({
  jobId: Uuid,
  recipe: Type.String(),
  state: Type.Union([
    Type.Literal('running'),
    Type.Literal('succeeded'),
    Type.Literal('failed'),
    Type.Literal('cancelled'),
  ]),
  createdAt: Timestamp,
});

/** Which trainings used a version. */
export function trainingRoutes(options: TrainingRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, datasets, trainings } = options;
  return async function registerTrainingRoutes(app) {
    app.get(
      '/v1/datasets/:datasetId/versions/:versionId/trainings',
      {
        config: { scope: 'data:read' },
        schema: {
          operationId: 'listDatasetVersionTrainings',
          tags: ['datasets'],
          params: Type.Object({ datasetId: Uuid, versionId: Uuid }),
          response: { 200: Type.Object({ items: Type.Array(TrainingView) }) },
        },
      },
      async (request) => {
        const { datasetId, versionId } = request.params;
        const found = await datasets.findVersion(database.db, versionId);
        if (found?.dataset.id !== datasetId || found.dataset.tenant !== request.principal.tenant) {
          throw new AppError(
            'dataset_version_not_found',
            `Dataset ${datasetId} has no version ${versionId}.`,
          );
        }
        const rows = await trainings.of(database.db, versionId, TRAININGS_MAX);
        return {
          items: rows.map(({ jobId, recipe, state, createdAt }) => ({
            jobId,
            recipe,
            state,
            createdAt: createdAt.toISOString(),
          })),
        };
      },
    );
  };
}
