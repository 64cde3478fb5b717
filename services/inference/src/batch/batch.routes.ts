import { JobState, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { pageOf, pageQuery } from '@millrace/service-kit';
import Type from 'typebox';
import type { BatchCaller, BatchService } from './batch.service.ts';
import { BatchJobView, BatchResults } from './batch.view.ts';
import { BatchJobBody } from './batch-request.ts';

const PATH = '/v1/batch-jobs';
const IDEMPOTENCY_KEY_MAX = 255;
const BODY_BYTES_MAX = 2 * 1024 * 1024;
const tags = ['batch jobs'];
const config = { scope: 'predict' } as const;
const params = Type.Object({ jobId: Uuid });

type Principal = { readonly id: string; readonly tenant: string };
const callerOf = ({ id, tenant }: Principal): BatchCaller => ({ tenant, principal: id });

const pagingOf = ({ limit, cursor }: { limit: number; cursor?: string | undefined }) => ({
  limit,
  ...(cursor !== undefined && { cursor }),
});

/** `/v1/batch-jobs`: predictions for whole files. */
export function batchRoutes(batch: BatchService): (app: HttpApp) => Promise<void> {
  return async function registerBatchRoutes(app) {
    app.post(
      PATH,
      {
        config,
        bodyLimit: BODY_BYTES_MAX,
        schema: {
          operationId: 'createBatchJob',
          tags,
          headers: Type.Object({
            'idempotency-key': Type.Optional(Type.String({ minLength: 1, maxLength: IDEMPOTENCY_KEY_MAX })),
          }),
          body: BatchJobBody,
          response: { 202: BatchJobView },
        },
      },
      async ({ principal, headers, body }, reply) => {
        const key = headers['idempotency-key'];
        const job = await batch.batchCreate({
          ...callerOf(principal),
          body,
          ...(key !== undefined && { idempotencyKey: key }),
        });
        return reply.code(202).header('location', `${PATH}/${job.id}`).send(job);
      },
    );

    app.get(
      PATH,
      {
        config,
        schema: {
          operationId: 'listBatchJobs',
          tags,
          querystring: Type.Object(
            { ...pageQuery, state: Type.Optional(JobState) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(BatchJobView) },
        },
      },
      async ({ principal, query }) =>
        batch.batchList({
          ...callerOf(principal),
          ...pagingOf(query),
          ...(query.state !== undefined && { state: query.state }),
        }),
    );

    app.get(
      `${PATH}/:jobId`,
      { config, schema: { operationId: 'getBatchJob', tags, params, response: { 200: BatchJobView } } },
      async (request) => batch.batchGet({ ...callerOf(request.principal), ...request.params }),
    );

    app.post(
      `${PATH}/:jobId/cancel`,
      { config, schema: { operationId: 'cancelBatchJob', tags, params, response: { 202: BatchJobView } } },
      async (request, reply) =>
        reply.code(202).send(await batch.batchCancel({ ...callerOf(request.principal), ...request.params })),
    );

    app.get(
      `${PATH}/:jobId/results`,
      {
        config,
        schema: {
          operationId: 'getBatchResults',
          tags,
          params,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: BatchResults },
        },
      },
      async (request) =>
        batch.batchResults({
          ...callerOf(request.principal),
          ...request.params,
          ...pagingOf(request.query),
        }),
    );
  };
}
