import { AppError, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { PredictionPublisher } from '../telemetry/prediction-publisher.ts';
import type { LoadedModel, ModelStore } from './model-store.ts';

const LoadedView = Type.Object({
  modelVersionId: Type.String(),
  model: Type.String(),
  version: Type.String(),
  stage: Type.String(),
  state: Type.String({ description: 'ready, restarting or quarantined.' }),
  placement: Type.String({ description: 'inline, or host: in processes of its own.' }),
  placementReason: Type.String(),
  isBatched: Type.Boolean(),
  batchReason: Type.String(),
  rowMs: Type.Number({ description: 'Median run of one row, measured at load.' }),
  loadMs: Type.Number(),
  loadedAt: Type.String(),
  residentBytes: Type.Integer(),
  hostPids: Type.Array(Type.Integer()),
  queue: Type.Record(Type.String(), Type.Number()),
});

const FailureView = Type.Object({
  modelVersionId: Type.String(),
  model: Type.String(),
  version: Type.String(),
  code: Type.String(),
  message: Type.String(),
  at: Type.String(),
});

const ServingView = Type.Object({
  models: Type.Array(LoadedView),
  failures: Type.Array(FailureView),
  telemetry: Type.Record(Type.String(), Type.Number(), {
    description: 'recorded = sent + waiting + dropped, since the start of this process.',
  }),
});

function view({ version, served, loadedAt, loadMs }: LoadedModel) {
  const { modelVersionId, model, version: label, stage } = version;
  const { runner, measurement, placementReason, queue } = served;
  return {
    modelVersionId,
    model,
    version: label,
    stage,
    state: runner.state(),
    placement: runner.placement,
    placementReason,
    isBatched: measurement.isBatched,
    batchReason: measurement.batchReason,
    rowMs: measurement.rowMs,
    loadMs,
    loadedAt: loadedAt.toISOString(),
    residentBytes: runner.residentBytes(),
    hostPids: runner.pids(),
    queue: queue.stats(),
  };
}

/** `/v1/inference/models`: what is in memory, how it runs, and taking it out. */
export function modelRoutes(
  store: ModelStore,
  publisher: PredictionPublisher,
): (app: HttpApp) => Promise<void> {
  return async (app) => {
    app.get(
      '/v1/inference/models',
      {
        config: { scope: 'models:read' },
        schema: { operationId: 'listLoadedModels', tags: ['inference'], response: { 200: ServingView } },
      },
      async () => ({
        models: store.list().map(view),
        failures: store.failures().map(({ version, error, at }) => ({
          modelVersionId: version.modelVersionId,
          model: version.model,
          version: version.version,
          code: error.code,
          message: error.message,
          at: at.toISOString(),
        })),
        telemetry: publisher.stats(),
      }),
    );
    app.delete(
      '/v1/inference/models/:modelVersionId',
      {
        config: { scope: 'models:write' },
        schema: {
          operationId: 'unloadModel',
          tags: ['inference'],
          params: Type.Object({ modelVersionId: Uuid }),
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        const { modelVersionId } = request.params;
        if (!(await store.unload(modelVersionId))) {
          throw new AppError(
            'version_not_found',
            'This version is not loaded; see GET /v1/inference/models.',
          );
        }
        return reply.code(204).send(null);
      },
    );
  };
}
