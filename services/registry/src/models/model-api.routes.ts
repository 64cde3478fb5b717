import { AppError, Stage } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { TensorSpec } from '@millrace/onnx';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { VersionService } from '../versions/version.service.ts';

/** The list has no pages in its shape; a model with more versions is read through /v1/models. */
const VERSIONS_MAX = 10_000;

const ModelInfo = Type.Object({
  id: Type.String(),
  modelId: Type.String(),
  version: Type.String(),
  framework: Type.String(),
  stage: Stage,
  inputSchema: Type.String({ description: 'JSON as uploaded, else made from the model.' }),
  outputSchema: Type.String(),
  uploadedAt: Type.Integer({ description: 'Unix time in ms.' }),
});
const ModelVersions = Type.Object({
  modelId: Type.String(),
  versions: Type.Array(Type.Object({ version: Type.String(), framework: Type.String(), stage: Stage })),
});

/** The reading half of the Model API: `GET /model/versions` and `GET /model/:modelId/:version`. */
export function modelApiRoutes(options: {
  database: Database;
  repository: VersionRepository;
  versions: VersionService;
}): (app: HttpApp) => Promise<void> {
  const { database, repository, versions } = options;
  const config = { scope: 'models:read' } as const;
  const tags = ['models'];
  return async function registerModelApiRoutes(app) {
    app.get(
      '/model/versions',
      {
        config,
        schema: {
          operationId: 'listVersionsOfModelId',
          tags,
          querystring: Type.Object(
            { modelId: Type.Optional(Type.String()) },
            { additionalProperties: false },
          ),
          response: { 200: ModelVersions },
        },
      },
      async (request) => {
        const { modelId } = request.query;
        if (modelId === undefined) throw new AppError('invalid_request', 'Add ?modelId=<name of the model>.');
        const model = await versions.model(request.principal.tenant, modelId);
        const rows = await repository.listOldestFirst(database.db, model.id, VERSIONS_MAX);
        return {
          modelId: model.name,
          versions: rows.map(({ label, framework, stage }) => ({ version: label, framework, stage })),
        };
      },
    );

    app.get(
      '/model/:modelId/:version',
      {
        config,
        schema: {
          operationId: 'getModelInfo',
          tags,
          params: Type.Object({ modelId: Type.String(), version: Type.String() }),
          response: { 200: ModelInfo },
        },
      },
      async (request) => {
        const { modelId, version: asked } = request.params;
        const { model, version } = await versions.find(request.principal.tenant, modelId, asked);
        return {
          id: `${model.name}:${version.label}`,
          modelId: model.name,
          version: version.label,
          framework: version.framework,
          stage: version.stage,
          inputSchema: version.inputSchema ?? schemaText('inputs', version.inputs),
          outputSchema: version.outputSchema ?? schemaText('outputs', version.outputs),
          uploadedAt: version.createdAt.getTime(),
        };
      },
    );
  };
}

/** A schema in the form uploads use, made from the model itself; null is a free axis. */
function schemaText(key: 'inputs' | 'outputs', tensors: readonly TensorSpec[]): string {
  return JSON.stringify({ [key]: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })) });
}
