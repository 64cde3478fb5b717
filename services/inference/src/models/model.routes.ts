import { AppError, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { ServingReport } from './serving-report.ts';
import { ServingView } from './serving-report.ts';

/** `/v1/inference/models`: what is in memory, how it runs, and taking it out. */
export function modelRoutes(report: ServingReport): (app: HttpApp) => Promise<void> {
  return async (app) => {
    app.get(
      '/v1/inference/models',
      {
        config: { scope: 'models:read' },
        schema: { operationId: 'listLoadedModels', tags: ['inference'], response: { 200: ServingView } },
      },
      () => report.view(),
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
        if (!(await report.unload(modelVersionId))) {
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
