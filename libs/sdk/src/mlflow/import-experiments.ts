import { AppError } from '@millrace/contracts';
import { importLoggedModels } from './import-logged-models.ts';
import type { RunCopy } from './import-run.ts';
import { createRun, fillRun } from './import-run.ts';
import type { ImportState } from './import-state.ts';
import { goingOn, recordDigest } from './import-state.ts';
import { inLanes } from './lanes.ts';
import type { MlflowServer } from './mlflow-server.ts';
import { mlflowCode, pagesOf } from './mlflow-server.ts';
import type { MlflowExperiment, MlflowRun } from './mlflow-shapes.ts';
import { IMPORTED, tagOf } from './mlflow-shapes.ts';

const EXPERIMENTS_PAGE = 1_000;
const RUNS_PAGE = 500;
/** Runs that are copied at once; each waits for the source most of the time. */
const RUNS_AT_ONCE = 4;
/** Runs of one import, whose ids are held in memory: 200 bytes each. */
const RUNS_MAX = 1_000_000;
const UNENDED: ReadonlySet<string> = new Set(['RUNNING', 'SCHEDULED']);

/** Experiments of a server, deleted ones too; all or those that are named. Throws `invalid_request` for a name it has not. */
export async function findExperiments(
  server: MlflowServer,
  names: readonly string[] | undefined,
): Promise<MlflowExperiment[]> {
  const found: MlflowExperiment[] = [];
  const pages = pagesOf(async (token) => {
    const { experiments, next_page_token: next } = await server.send<{
      experiments?: MlflowExperiment[];
      next_page_token?: string;
    }>('POST', 'experiments/search', {
      max_results: EXPERIMENTS_PAGE,
      view_type: 'ALL',
      ...(token === undefined ? {} : { page_token: token }),
    });
    return { items: experiments, next };
  });
  for await (const page of pages) found.push(...page);
  if (names === undefined) return found;
  const missing = names.find((name) => !found.some((experiment) => experiment.name === name));
  if (missing !== undefined)
    throw new AppError('invalid_request', `The server at ${server.origin} has no experiment '${missing}'.`);
  return found.filter(({ name }) => names.includes(name));
}

function runsOf(
  server: MlflowServer,
  experimentId: string,
  filter?: string,
): AsyncGenerator<readonly MlflowRun[]> {
  return pagesOf(async (token) => {
    const { runs, next_page_token: next } = await server.send<{
      runs?: MlflowRun[];
      next_page_token?: string;
    }>('POST', 'runs/search', {
      experiment_ids: [experimentId],
      run_view_type: 'ALL',
      max_results: RUNS_PAGE,
      // those that are made meanwhile come last
      order_by: ['attributes.start_time ASC'],
      ...(filter === undefined ? {} : { filter }),
      ...(token === undefined ? {} : { page_token: token }),
    });
    return { items: runs, next };
  });
}

/** The same experiment at the target, by its name; undefined when there is none. */
async function sameExperiment(target: MlflowServer, name: string): Promise<MlflowExperiment | undefined> {
  try {
    return (
      await target.get<{ experiment: MlflowExperiment }>('experiments/get-by-name', { experiment_name: name })
    ).experiment;
  } catch (error) {
    if (error instanceof AppError && mlflowCode(error) === 'RESOURCE_DOES_NOT_EXIST') return undefined;
    throw error;
  }
}

type KnownRun = Omit<RunCopy, 'run'> & { readonly state: string | undefined };

/** Copies an experiment with its runs and logged models. Runs are known by the tag that holds their first id. */
export async function importExperiment(state: ImportState, experiment: MlflowExperiment): Promise<void> {
  const { source, target, report } = state;
  const found = await sameExperiment(target, experiment.name);
  report.experiments[found === undefined ? 'created' : 'present'] += 1;
  const isDeleted = experiment.lifecycle_stage === 'deleted';
  const there = found ?? (state.isDryRun ? undefined : await createExperiment(state, experiment));
  if (there !== undefined && there.lifecycle_stage === 'deleted' && !state.isDryRun)
    await target.send('POST', 'experiments/restore', { experiment_id: there.experiment_id });

  const known = new Map<string, KnownRun>();
  if (there !== undefined)
    for await (const page of runsOf(target, there.experiment_id, `tags.${IMPORTED.run} IS NOT NULL`))
      for (const { info, data } of page)
        known.set(tagOf(data.tags, IMPORTED.run) ?? '', {
          id: info.run_id,
          artifactUri: info.artifact_uri,
          isDeleted: info.lifecycle_stage === 'deleted',
          state: tagOf(data.tags, IMPORTED.state),
        });

  // all ids first: a child may be older than its parent, and models name runs
  let total = 0;
  for await (const page of runsOf(source, experiment.experiment_id)) {
    total += page.length;
    if (state.runIds.size + page.length > RUNS_MAX)
      throw new AppError(
        'invalid_request',
        `These are more than ${RUNS_MAX} runs; import some experiments at a time with --experiment.`,
      );
    await inLanes(page, RUNS_AT_ONCE, async (run) => {
      const id = run.info.run_id;
      const present = known.get(id);
      const made =
        present ??
        (state.isDryRun || there === undefined
          ? undefined
          : await createRun(state, run, there.experiment_id));
      if (made === undefined) {
        state.runIds.set(id, id);
        return;
      }
      known.set(id, { state: undefined, ...made });
      state.runIds.set(id, made.id);
      state.runUris.set(id, { from: run.info.artifact_uri, to: made.artifactUri });
    });
  }

  await importLoggedModels(state, { sourceId: experiment.experiment_id, targetId: there?.experiment_id });

  let done = 0;
  for await (const page of runsOf(source, experiment.experiment_id))
    await inLanes(page, RUNS_AT_ONCE, async (run) => {
      await importRun(state, run, known.get(run.info.run_id));
      done += 1;
      state.onProgress({ doing: experiment.name, done, of: total });
    });
  if (isDeleted && there !== undefined && !state.isDryRun)
    await target.send('POST', 'experiments/delete', { experiment_id: there.experiment_id });
}

async function importRun(state: ImportState, run: MlflowRun, known: KnownRun | undefined): Promise<void> {
  const { report } = state;
  const isSame = known?.state === recordDigest(run) && !UNENDED.has(run.info.status) && !state.isRecheck;
  if (isSame) {
    report.runs.unchanged += 1;
    if (known.isDeleted === (run.info.lifecycle_stage === 'deleted') || state.isDryRun) return;
    await state.target.send('POST', known.isDeleted ? 'runs/restore' : 'runs/delete', { run_id: known.id });
    return;
  }
  if (state.isDryRun) {
    report.runs.copied += 1;
    return;
  }
  // made at the source while this import was under way: the next one takes it
  if (known === undefined) return;
  state.unfinished.add(known.artifactUri);
  await goingOn(state, `run ${run.info.run_id}`, async () => {
    await fillRun(state, { run, ...known });
    state.unfinished.delete(known.artifactUri);
    report.runs.copied += 1;
  });
}

async function createExperiment(
  { target, uri }: ImportState,
  { name, experiment_id, tags = [] }: MlflowExperiment,
): Promise<MlflowExperiment> {
  const { experiment_id: id } = await target.send<{ experiment_id: string }>('POST', 'experiments/create', {
    name,
    tags: [
      ...tags.map(({ key, value = '' }) => ({ key, value })),
      { key: IMPORTED.experiment, value: experiment_id },
      { key: IMPORTED.uri, value: uri },
    ],
  });
  return { experiment_id: id, name, lifecycle_stage: 'active' };
}
