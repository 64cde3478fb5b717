import type { Bus } from '@millrace/bus';
import { AppError, JsonObject, Name, Uuid, WorkerPool } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import { resolveDataset } from '../jobs/dataset-input.ts';
import type { PipelineRepository } from './pipeline.repository.ts';
import type { PipelineService } from './pipeline.service.ts';
import { PipelineView, toPipelineView } from './pipeline.view.ts';
import { PipelineQuantization } from './pipeline-quantization.ts';

const tags = ['pipelines'];
const Cursor = Type.Object({ createdAt: Type.String(), id: Type.String() });
const PipelineParams = Type.Object({ pipelineId: Uuid });

/** Body of a new pipeline. */
export const PipelineBody = Type.Object(
  {
    recipe: Type.String({ minLength: 1, maxLength: 64 }),
    params: Type.Optional(JsonObject),
    pool: Type.Optional(WorkerPool),
    dataset: Type.Optional(
      Type.Object(
        {
          name: Type.Optional(Name),
          params: Type.Optional(JsonObject),
          versionId: Type.Optional(Uuid),
        },
        {
          additionalProperties: false,
          description:
            'Generator parameters (default: those of the training), or the version of a dataset that is there.',
        },
      ),
    ),
    model: Type.Object(
      { name: Name, version: Type.Optional(Name) },
      { additionalProperties: false, description: 'The model that the new version belongs to.' },
    ),
    conversion: Type.Optional(
      Type.Object(
        {
          opset: Type.Optional(Type.Integer({ minimum: 13, maximum: 18 })),
          tolerance: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
          quantization: Type.Optional(PipelineQuantization),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
});

export type PipelineRoutesOptions = {
  bus: Bus;
  database: Database;
  pipelineRows: PipelineRepository;
  pipelines: PipelineService;
};

/** Submit, list, read and cancel pipelines. */
export function pipelineRoutes({ bus, database, pipelineRows, pipelines }: PipelineRoutesOptions) {
  /** @throws AppError `invalid_request` for a version with generator parameters beside it, and what resolving it throws */
  async function datasetOf(tenant: string, dataset: Static<typeof PipelineBody>['dataset']) {
    if (dataset?.versionId === undefined) return dataset === undefined ? {} : { dataset };
    if (dataset.name !== undefined || dataset.params !== undefined)
      throw new AppError(
        'invalid_request',
        'A dataset is named by versionId, or made with name and params; leave one of them out.',
      );
    return { datasetVersion: await resolveDataset(bus, tenant, dataset.versionId) };
  }

  return async function registerPipelineRoutes(app: HttpApp): Promise<void> {
    app.post(
      '/v1/pipelines',
      {
        config: { scope: 'train' },
        schema: {
          operationId: 'createPipeline',
          summary: 'Make data, train, convert, register and load a model version',
          tags,
          headers: IdempotencyHeaders,
          body: PipelineBody,
          response: { 200: PipelineView, 202: PipelineView },
        },
      },
      async (request, reply) => {
        const { recipe, params = {}, pool, dataset, model, conversion } = request.body;
        const key = request.headers['idempotency-key'];
        const { pipeline, isNew } = await pipelines.submit({
          tenant: request.principal.tenant,
          by: request.principal.id,
          recipe,
          params,
          ...(pool === undefined ? {} : { pool }),
          model: model.name,
          ...(await datasetOf(request.principal.tenant, dataset)),
          ...(model.version === undefined ? {} : { version: model.version }),
          ...conversion,
          ...(key === undefined ? {} : { idempotencyKey: key }),
        });
        return reply
          .code(isNew ? 202 : 200)
          .header('location', `/v1/pipelines/${pipeline.id}`)
          .send(toPipelineView(pipeline));
      },
    );

    app.get(
      '/v1/pipelines',
      {
        config: { scope: 'train' },
        schema: {
          operationId: 'listPipelines',
          tags,
          querystring: Type.Object(
            { ...pageQuery, state: Type.Optional(PipelineView.properties.state) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(PipelineView) },
        },
      },
      async (request) => {
        const { limit, cursor, state } = request.query;
        const after = decodeCursor(Cursor, cursor);
        const rows = await pipelineRows.list(database.db, request.principal.tenant, {
          limit: limit + 1,
          ...(state === undefined ? {} : { state }),
          ...(after === undefined ? {} : { after: { createdAt: new Date(after.createdAt), id: after.id } }),
        });
        return toPage(
          rows,
          limit,
          (row) => ({ createdAt: row.createdAt.toISOString(), id: row.id }),
          toPipelineView,
        );
      },
    );

    app.get(
      '/v1/pipelines/:pipelineId',
      {
        config: { scope: 'train' },
        schema: { operationId: 'getPipeline', tags, params: PipelineParams, response: { 200: PipelineView } },
      },
      async (request) =>
        toPipelineView(await pipelines.get(request.principal.tenant, request.params.pipelineId)),
    );

    app.post(
      '/v1/pipelines/:pipelineId/cancel',
      {
        config: { scope: 'train' },
        schema: {
          operationId: 'cancelPipeline',
          tags,
          params: PipelineParams,
          response: { 202: PipelineView },
        },
      },
      async (request, reply) => {
        const row = await pipelines.cancel(request.principal.tenant, request.params.pipelineId);
        return reply.code(202).send(toPipelineView(row));
      },
    );
  };
}
