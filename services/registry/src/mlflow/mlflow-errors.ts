import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { answerMlflowError } from '@millrace/service-kit';

/** Answers all errors of a scope, unknown paths included, in MLflow's shape. */
export function answerMlflowErrors(app: HttpApp): void {
  app.setErrorHandler(answerMlflowError);
  app.setNotFoundHandler((request, reply) => {
    const message = `Millrace has no ${request.method} ${request.url.split('?')[0]} of MLflow.`;
    return answerMlflowError(new AppError('route_not_found', message), request, reply);
  });
}
