import type { Bus } from '@millrace/bus';
import { JobView, JsonObject, Uuid, WorkerPool } from '@millrace/contracts';
import type { JobService } from '@millrace/jobs';
import type { RecipeCatalog } from '@millrace/recipes';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { IdempotencyHeaders } from '../pipelines/pipeline.routes.ts';
import { resolveDataset } from './dataset-input.ts';

const RecipeView = Type.Object({
  name: Type.String(),
  version: Type.String(),
  title: Type.String(),
  framework: Type.Union([Type.Literal('tensorflow'), Type.Literal('torch')]),
  pool: WorkerPool,
  params: JsonObject,
  defaults: JsonObject,
  dataset: Type.Object({
    generator: Type.String(),
    version: Type.String(),
    params: JsonObject,
    defaults: JsonObject,
  }),
});

export type TrainingJobRoutesOptions = {
  bus: Bus;
  jobs: JobService;
  recipes: RecipeCatalog;
};

/** Submit a training on a dataset version; the other routes of jobs come from the jobs library. */
export function trainingJobRoutes({ bus, jobs, recipes }: TrainingJobRoutesOptions) {
  return async function registerTrainingJobRoutes(app: HttpApp): Promise<void> {
    app.post(
      '/v1/training/jobs',
      {
        config: { scope: 'train' },
        schema: {
          operationId: 'createTrainingJob',
          tags: ['jobs'],
          headers: IdempotencyHeaders,
          body: Type.Object(
            {
              recipe: Type.String({ minLength: 1, maxLength: 64 }),
              params: Type.Optional(JsonObject),
              pool: Type.Optional(WorkerPool),
              dataset: Type.Object({ versionId: Uuid }, { additionalProperties: false }),
            },
            { additionalProperties: false },
          ),
          response: { 200: JobView, 202: JobView },
        },
      },
      async (request, reply) => {
        const { tenant } = request.principal;
        const { recipe } = request.body;
        const { params, pool } = recipes.resolve(recipe, request.body.params ?? {});
        const dataset = await resolveDataset(bus, tenant, request.body.dataset.versionId);
        const key = request.headers['idempotency-key'];
        const { job, isNew } = await jobs.submit({
          pool: request.body.pool ?? pool,
          tenant,
          spec: { recipe, params, dataset },
          ...(key === undefined ? {} : { idempotencyKey: key }),
        });
        return reply
          .code(isNew ? 202 : 200)
          .header('location', `/v1/training/jobs/${job.id}`)
          .send(await jobs.view(job));
      },
    );

    app.get(
      '/v1/training/recipes',
      {
        config: { scope: 'train' },
        schema: {
          operationId: 'listRecipes',
          tags: ['recipes'],
          response: { 200: Type.Object({ items: Type.Array(RecipeView) }) },
        },
      },
      async () => ({ items: [...recipes.list()] }),
    );
  };
}
