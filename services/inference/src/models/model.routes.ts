import { AppError, Uuid } from '@millrace/contracts';
import type { HttpApp, Principal } from '@millrace/service-kit';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import Type from 'typebox';
import type { ServingReport } from './serving-report.ts';
import { ServingView } from './serving-report.ts';

/** Who runs the platform sees all; anybody else the models of their tenant, and nothing of the server. */
async function viewOf(report: ServingReport, { tenant, scopes }: Principal): Promise<ServingView> {
  const view = await report.view();
  const isOperator = tenant === PLATFORM_TENANT && (scopes.includes('operate') || scopes.includes('admin'));
  if (isOperator) return view;
  const isTheirs = (one: { tenant: string }): boolean => one.tenant === tenant;
  return { models: view.models.filter(isTheirs), failures: view.failures.filter(isTheirs), telemetry: {} };
}

/** `/v1/inference/models`: what is in memory, how it runs, and taking it out. */
export function modelRoutes(report: ServingReport): (app: HttpApp) => Promise<void> {
  return async (app) => {
    app.get(
      '/v1/inference/models',
      {
        config: { scope: 'models:read' },
        schema: { operationId: 'listLoadedModels', tags: ['inference'], response: { 200: ServingView } },
      },
      ({ principal }) => viewOf(report, principal),
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
        const { models } = await viewOf(report, request.principal);
        const isTheirs = models.some((model) => model.modelVersionId === modelVersionId);
        if (!isTheirs || !(await report.unload(modelVersionId))) {
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
