import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { LoggedModelService } from './logged-model.service.ts';
import { withinLength } from './names.ts';
import type { RunRepository } from './run.repository.ts';
import type { RunService } from './run.service.ts';
import { PairField, runFields, runIdIn } from './run-fields.ts';

const write = { scope: 'train' } as const;
/** MLflow's bounds: a schema of 1 MiB and a source of 64 KiB; a profile may have what the body leaves. */
const INPUTS_BYTES_MAX = 4 * 1024 * 1024;
const DATASETS_MAX = 1_000;
const NAME_LENGTH_MAX = 500;
const DIGEST_LENGTH_MAX = 36;
const SOURCE_LENGTH_MAX = 65_535;
const SCHEMA_LENGTH_MAX = 1_048_575;
/** Entries of MLflow's list of models that a run logged, the oldest way to say so. */
const MODEL_HISTORY_MAX = 1_000;
const MODEL_HISTORY_TAG = 'mlflow.log-model.history';
const CONTEXT_TAG = 'mlflow.data.context';

const DatasetInput = Type.Object({
  tags: Type.Array(PairField, { default: [] }),
  dataset: Type.Object({
    name: Type.String({ minLength: 1 }),
    digest: Type.String({ minLength: 1 }),
    source_type: Type.String({ default: '' }),
    source: Type.String({ default: '' }),
    schema: Type.Optional(Type.String()),
    profile: Type.Optional(Type.String()),
  }),
});

/** What a run read and made: datasets and logged models. */
export function inputRoutes(options: {
  database: Database;
  runs: RunService;
  runRows: RunRepository;
  loggedModels: LoggedModelService;
}): (app: HttpApp) => Promise<void> {
  const { database, runs, runRows, loggedModels } = options;
  const base = '/2.0/mlflow/runs';
  return async function registerInputRoutes(app) {
    app.post(
      `${base}/log-inputs`,
      {
        config: write,
        bodyLimit: INPUTS_BYTES_MAX,
        schema: {
          body: Type.Object({
            ...runFields,
            datasets: Type.Array(DatasetInput, { default: [], maxItems: DATASETS_MAX }),
            models: Type.Array(Type.Object({ model_id: Type.String() }), {
              default: [],
              maxItems: DATASETS_MAX,
            }),
          }),
        },
      },
      async ({ principal, body }) => {
        const { id: runId } = await runs.findActive(principal.tenant, runIdIn(body));
        const datasets = body.datasets.map((input) => ({ runId, ...datasetRow(input) }));
        await loggedModels.assertAll(principal.tenant, body.models);
        const models = body.models.map(({ model_id }) => ({
          runId,
          direction: 'input' as const,
          modelId: model_id,
          step: 0,
        }));
        await database.transaction(async (tx) => {
          if (datasets.length > 0) await runRows.addDatasets(tx, once(datasets));
          if (models.length > 0) await runRows.addModels(tx, models);
        });
        return {};
      },
    );
    app.post(
      `${base}/outputs`,
      {
        config: write,
        schema: {
          body: Type.Object({
            ...runFields,
            models: Type.Array(
              Type.Object({
                model_id: Type.String(),
                step: Type.Integer({ default: 0, maximum: 2 ** 31 - 1 }),
              }),
              { default: [], maxItems: DATASETS_MAX },
            ),
          }),
        },
      },
      async ({ principal, body }) => {
        const { id: runId } = await runs.findActive(principal.tenant, runIdIn(body));
        await loggedModels.assertAll(principal.tenant, body.models);
        const rows = body.models.map(({ model_id, step }) => ({
          runId,
          direction: 'output' as const,
          modelId: model_id,
          step,
        }));
        if (rows.length > 0) await runRows.addModels(database.db, rows);
        return {};
      },
    );
    app.post(
      `${base}/log-model`,
      {
        config: write,
        schema: { body: Type.Object({ ...runFields, model_json: Type.String({ minLength: 2 }) }) },
      },
      async ({ principal, body }) => {
        const run = await runs.findActive(principal.tenant, runIdIn(body));
        const model = modelOf(body.model_json);
        await database.transaction(async (tx) => {
          const before = await runRows.lockTag(tx, run.id, MODEL_HISTORY_TAG);
          const history = before === undefined ? [] : (JSON.parse(before) as unknown[]);
          if (history.length >= MODEL_HISTORY_MAX)
            throw new AppError(
              'invalid_request',
              `A run can log at most ${MODEL_HISTORY_MAX} models this way.`,
            );
          await runRows.setTag(tx, run, MODEL_HISTORY_TAG, JSON.stringify([...history, model]));
        });
        return {};
      },
    );
  };
}

function datasetRow({ tags, dataset }: Type.Static<typeof DatasetInput>) {
  const { name, digest, source, schema, profile } = dataset;
  return {
    name: withinLength(name, 'name', NAME_LENGTH_MAX),
    digest: withinLength(digest, 'digest', DIGEST_LENGTH_MAX),
    sourceType: dataset.source_type,
    source: withinLength(source, 'source', SOURCE_LENGTH_MAX),
    schema: schema === undefined ? null : withinLength(schema, 'schema', SCHEMA_LENGTH_MAX),
    profile: profile ?? null,
    context: tags.find(({ key }) => key === CONTEXT_TAG)?.value ?? null,
    tags,
  };
}

/** The last of each dataset: one statement cannot write a row twice. */
function once<Row extends { name: string; digest: string }>(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [JSON.stringify([row.name, row.digest]), row])).values()];
}

function modelOf(text: string): Record<string, unknown> {
  try {
    const model: unknown = JSON.parse(text);
    if (typeof model === 'object' && model !== null && 'artifact_path' in model && 'flavors' in model)
      return model as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new AppError(
    'invalid_request',
    "'model_json' must be an MLmodel as JSON, with artifact_path and flavors.",
  );
}
