import { isAppError } from '@millrace/contracts';
import { logMetrics } from './import-run.ts';
import type { ImportState } from './import-state.ts';
import { goingOn, noteFiles, translated } from './import-state.ts';
import { copyFiles, loggedModelFiles } from './mlflow-files.ts';
import type { MlflowServer } from './mlflow-server.ts';
import { pagesOf } from './mlflow-server.ts';
import type { MlflowLoggedModel } from './mlflow-shapes.ts';
import { IMPORTED, tagOf } from './mlflow-shapes.ts';

const MODELS_PAGE = 50;

/** Logged models of an experiment; none where the server is an MLflow 2, which has no such thing. */
async function loggedModels(server: MlflowServer, experimentId: string): Promise<MlflowLoggedModel[]> {
  const found: MlflowLoggedModel[] = [];
  const pages = pagesOf(async (token) => {
    const { models, next_page_token: next } = await server.send<{
      models?: MlflowLoggedModel[];
      next_page_token?: string;
    }>('POST', 'logged-models/search', {
      experiment_ids: [experimentId],
      max_results: MODELS_PAGE,
      ...(token === undefined ? {} : { page_token: token }),
    });
    return { items: models, next };
  });
  try {
    for await (const page of pages) found.push(...page);
  } catch (error) {
    if (isAppError(error) && [404, 405].includes(Number(error.details?.httpStatus))) return [];
    throw error;
  }
  return found;
}

/** Copies the logged models of an experiment whose runs are known; `targetId` is undefined when it is not there yet. */
export async function importLoggedModels(
  state: ImportState,
  experiment: { readonly sourceId: string; readonly targetId: string | undefined },
): Promise<void> {
  const { source, target, report } = state;
  const wanted = await loggedModels(source, experiment.sourceId);
  if (wanted.length === 0) return;
  const there = experiment.targetId === undefined ? [] : await loggedModels(target, experiment.targetId);
  const known = new Map(there.map((model) => [tagOf(model.info.tags, IMPORTED.loggedModel), model]));
  for (const [index, model] of wanted.entries()) {
    state.onProgress({ doing: 'logged models', done: index, of: wanted.length });
    const present = known.get(model.info.model_id);
    if (present?.info.status === model.info.status || state.isDryRun) {
      report.loggedModels[present?.info.status === model.info.status ? 'present' : 'copied'] += 1;
      state.loggedModelIds.set(model.info.model_id, present?.info.model_id ?? model.info.model_id);
      continue;
    }
    await goingOn(state, `logged model ${model.info.model_id}`, async () => {
      const made = present ?? (await createModel(state, model, experiment.targetId ?? ''));
      await fillModel(state, model, made);
      report.loggedModels.copied += 1;
    });
  }
}

async function createModel(
  state: ImportState,
  { info, data }: MlflowLoggedModel,
  experimentId: string,
): Promise<MlflowLoggedModel> {
  const runId = state.runIds.get(info.source_run_id ?? '');
  const { model } = await state.target.send<{ model: MlflowLoggedModel }>('POST', 'logged-models', {
    experiment_id: experimentId,
    name: info.name ?? info.model_id,
    ...(runId === undefined ? {} : { source_run_id: runId }),
    ...(info.model_type === undefined ? {} : { model_type: info.model_type }),
    params: (data?.params ?? []).map(({ key, value = '' }) => ({ key, value })),
    tags: [
      ...translated(state, info.tags),
      { key: IMPORTED.loggedModel, value: info.model_id },
      { key: IMPORTED.uri, value: state.uri },
    ],
  });
  return model;
}

async function fillModel(
  state: ImportState,
  { info, data }: MlflowLoggedModel,
  made: MlflowLoggedModel,
): Promise<void> {
  const { source, target } = state;
  const id = made.info.model_id;
  const address = `models:/${id}`;
  state.loggedModelIds.set(info.model_id, id);
  state.unfinished.add(address);
  for (const metric of data?.metrics ?? []) {
    const runId = state.runIds.get(metric.run_id ?? info.source_run_id ?? '');
    if (runId !== undefined) await logMetrics(state, runId, [metric], id);
  }
  const files = await copyFiles(
    loggedModelFiles(source, info.model_id, info.artifact_uri),
    target,
    made.info.artifact_uri,
  );
  noteFiles(state, `logged model ${info.model_id}`, address, files);
  // it stays pending, and so the next import asks again for what is missing
  if (files.missing.length > 0) return;
  state.unfinished.delete(address);
  // a model that was not finished there stays so here
  if (info.status !== made.info.status)
    await target.send('PATCH', `logged-models/${encodeURIComponent(id)}`, {
      model_id: id,
      status: info.status,
    });
}
