import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { answerMlflowErrors } from './mlflow-errors.ts';

/** Everything that MLflow's clients call lies below this. */
export const MLFLOW_PREFIX = '/api';

type Routes = (app: HttpApp) => Promise<void>;

/**
 * Routes below `/api` in MLflow's manner: its error shape, fields that are null count as absent, and fields that are
 * not known are passed over. The routes name the rest of their path, such as `/2.0/mlflow/runs/create`.
 */
export function mlflowRoutes(all: readonly Routes[]): Routes {
  return async function registerMlflowRoutes(app) {
    await app.register(
      async (raw) => {
        const scope = raw as unknown as HttpApp;
        answerMlflowErrors(scope);
        // MLflow's own documentation describes these; its clients know no other way to send a key than Basic or Bearer
        scope.addHook('onRoute', (route) => {
          route.schema = { ...route.schema, hide: true } as never;
          route.config = { ...route.config, basicAuth: true };
        });
        scope.addHook('preValidation', (request, _reply, done) => {
          if (!ArrayBuffer.isView(request.body)) clean(request.body);
          done();
        });
        for (const routes of all) await scope.register(routes);
      },
      { prefix: MLFLOW_PREFIX },
    );
  };
}

/** Removes fields that are null. Postgres takes no U+0000 in any text, so no request may hold one. */
function clean(value: unknown): void {
  if (typeof value === 'string' && value.includes('\0'))
    throw new AppError('invalid_request', 'A text in the body holds the character U+0000; remove it.');
  if (typeof value !== 'object' || value === null) return;
  const fields = value as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (fields[name] === null && !Array.isArray(value)) delete fields[name];
    else clean(fields[name]);
  }
}
