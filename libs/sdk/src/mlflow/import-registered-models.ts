import { AppError, isAppError } from '@millrace/contracts';
import { pause } from '../retry.ts';
import type { ImportState } from './import-state.ts';
import { goingOn, translated } from './import-state.ts';
import { versionSource } from './import-version-source.ts';
import type { MlflowServer } from './mlflow-server.ts';
import { mlflowCode, pagesOf } from './mlflow-server.ts';
import type { MlflowModelVersion, MlflowRegisteredModel, Pair } from './mlflow-shapes.ts';
import { IMPORTED, tagOf } from './mlflow-shapes.ts';

const MODELS_PAGE = 100;
const VERSIONS_PAGE = 1_000;
/** How often and how long a version is waited for that the platform digests and signs (ms). */
const POLL_MS = 500;
const REGISTRATION_MS_MAX = 30 * 60_000;
/** MLflow keeps prompts of language models as registered models without files. */
const PROMPT_TAG = 'mlflow.prompt.is_prompt';
/** Tags that the platform sets by itself. */
const OWN_TAGS = 'millrace.';

/** Registered models of a server by pages. */
export function registeredModels(server: MlflowServer): AsyncGenerator<readonly MlflowRegisteredModel[]> {
  return pagesOf(async (token) => {
    const { registered_models: items, next_page_token: next } = await server.get<{
      registered_models?: MlflowRegisteredModel[];
      next_page_token?: string;
    }>('registered-models/search', { max_results: MODELS_PAGE, page_token: token });
    return { items, next };
  });
}

/** Versions of a model in the order of their numbers. */
async function versionsOf(server: MlflowServer, name: string): Promise<MlflowModelVersion[]> {
  const quoted = name.includes("'") ? `"${name}"` : `'${name}'`;
  const found: MlflowModelVersion[] = [];
  const pages = pagesOf(async (token) => {
    const { model_versions: items, next_page_token: next } = await server.get<{
      model_versions?: MlflowModelVersion[];
      next_page_token?: string;
    }>('model-versions/search', { filter: `name=${quoted}`, max_results: VERSIONS_PAGE, page_token: token });
    return { items, next };
  });
  for await (const page of pages) found.push(...page);
  return found.sort((a, b) => Number(a.version) - Number(b.version));
}

/** The registered model of a name; undefined when there is none. */
async function findModel(server: MlflowServer, name: string): Promise<MlflowRegisteredModel | undefined> {
  try {
    return (await server.get<{ registered_model: MlflowRegisteredModel }>('registered-models/get', { name }))
      .registered_model;
  } catch (error) {
    if (isAppError(error) && mlflowCode(error) === 'RESOURCE_DOES_NOT_EXIST') return undefined;
    throw error;
  }
}

/** Copies a registered model: its words, its versions oldest first, its aliases. What was copied before is brought up to date. */
export async function importRegisteredModel(state: ImportState, model: MlflowRegisteredModel): Promise<void> {
  const { source, target, report } = state;
  const all = await versionsOf(source, model.name);
  if (tagOf(model.tags, PROMPT_TAG) === 'true') {
    report.versions.skipped += all.length;
    return;
  }
  const versions = state.isPartial ? ofImported(state, all) : all;
  if (state.isPartial && versions.length === 0) return;
  const found = await findModel(target, model.name);
  report.models[found === undefined ? 'created' : 'present'] += 1;
  if (!state.isDryRun) await writeModel(state, model, found);
  const there = found === undefined ? [] : await versionsOf(target, model.name);
  for (const [index, version] of versions.entries()) {
    state.onProgress({ doing: model.name, done: index, of: versions.length });
    await goingOn(state, `version ${version.version} of ${model.name}`, () =>
      importVersion(state, version, there),
    );
  }
  if (state.isDryRun) return;
  for (const { alias, version } of model.aliases ?? [])
    await goingOn(state, `alias ${alias} of ${model.name}`, async () => {
      const number = state.versions.get(`${model.name}/${version}`);
      const now = found?.aliases?.find((other) => other.alias === alias);
      if (number === undefined || String(now?.version) === number) return;
      await target.send('POST', 'registered-models/alias', { name: model.name, alias, version: number });
      report.aliases += 1;
    });
}

/** Versions of runs and logged models that were imported, and copies of those. */
function ofImported(state: ImportState, versions: readonly MlflowModelVersion[]): MlflowModelVersion[] {
  const taken = new Set<string>();
  return versions.filter(({ version, source = '', ...from }) => {
    const isTaken =
      state.runIds.has(from.run_id ?? '') ||
      state.loggedModelIds.has(from.model_id ?? '') ||
      taken.has(source);
    if (isTaken) taken.add(`models:/${from.name}/${version}`);
    return isTaken;
  });
}

async function writeModel(
  { target, uri }: ImportState,
  { name, description = '', tags = [] }: MlflowRegisteredModel,
  found: MlflowRegisteredModel | undefined,
): Promise<void> {
  const words = tags.map(({ key, value = '' }) => ({ key, value }));
  if (found === undefined) {
    await target.send('POST', 'registered-models/create', {
      name,
      description,
      tags: [...words, { key: IMPORTED.uri, value: uri }],
    });
    return;
  }
  // a model that was here before keeps its own words
  if (tagOf(found.tags, IMPORTED.uri) !== uri) return;
  if ((found.description ?? '') !== description)
    await target.send('PATCH', 'registered-models/update', { name, description });
  for (const tag of changed(words, found.tags))
    await target.send('POST', 'registered-models/set-tag', { name, ...tag });
}

const changed = (wanted: readonly { key: string; value: string }[], now: readonly Pair[] | undefined) =>
  wanted.filter(({ key, value }) => !key.startsWith(OWN_TAGS) && tagOf(now, key) !== value);

async function importVersion(
  state: ImportState,
  version: MlflowModelVersion,
  there: readonly MlflowModelVersion[],
): Promise<void> {
  const { report, target } = state;
  const { name } = version;
  if (version.status !== 'READY') {
    report.versions.skipped += 1;
    return;
  }
  const same = there.filter(
    ({ tags }) =>
      tagOf(tags, IMPORTED.version) === version.version &&
      tagOf(tags, IMPORTED.versionMade) === String(version.creation_timestamp),
  );
  const ready = same.find(({ status }) => status !== 'FAILED_REGISTRATION');
  if (state.isDryRun) {
    report.versions[ready === undefined ? 'copied' : 'present'] += 1;
    return;
  }
  // what could not be registered keeps its number; it makes place for another attempt
  for (const failed of same.filter(({ status }) => status === 'FAILED_REGISTRATION'))
    await target.send('DELETE', 'model-versions/delete', { name, version: failed.version });
  const copy = await registered(state, ready ?? (await createVersion(state, version)));
  state.versions.set(`${name}/${version.version}`, copy.version);
  report.versions[ready === undefined ? 'copied' : 'present'] += 1;
  if (copy.version !== version.version && ready === undefined)
    report.renumbered.push({ model: name, version: version.version, became: copy.version });

  const description = version.description ?? '';
  const one = { name, version: copy.version };
  if ((copy.description ?? '') !== description)
    await target.send('PATCH', 'model-versions/update', { ...one, description });
  for (const tag of changed(translated(state, version.tags), copy.tags))
    await target.send('POST', 'model-versions/set-tag', { ...one, ...tag });
  const stage = version.current_stage ?? 'None';
  if (stage !== '' && stage !== (copy.current_stage ?? 'None'))
    await target.send('POST', 'model-versions/transition-stage', {
      ...one,
      stage,
      archive_existing_versions: false,
    });
}

async function createVersion(state: ImportState, version: MlflowModelVersion): Promise<MlflowModelVersion> {
  const { runId, loggedModelId, source } = await versionSource(state, version);
  const tags = translated(state, version.tags).filter(({ key }) => !key.startsWith(OWN_TAGS));
  const made = await state.target.send<{ model_version: MlflowModelVersion }>(
    'POST',
    'model-versions/create',
    {
      name: version.name,
      source,
      ...(runId === undefined ? {} : { run_id: runId }),
      ...(loggedModelId === undefined ? {} : { model_id: loggedModelId }),
      run_link: version.run_link ?? '',
      description: version.description ?? '',
      tags: [
        ...tags,
        { key: IMPORTED.version, value: version.version },
        { key: IMPORTED.versionMade, value: String(version.creation_timestamp) },
        { key: IMPORTED.uri, value: state.uri },
      ],
    },
  );
  return made.model_version;
}

/** Waits until a version has its digests and its signature. Throws `invalid_request` with why it could not. */
async function registered({ target }: ImportState, begun: MlflowModelVersion): Promise<MlflowModelVersion> {
  const { name, version } = begun;
  const endsAt = performance.now() + REGISTRATION_MS_MAX;
  for (let now = begun; ; ) {
    if (now.status === 'READY') return now;
    if (now.status === 'FAILED_REGISTRATION')
      throw new AppError('invalid_request', now.status_message ?? 'The platform could not register it.');
    if (performance.now() > endsAt)
      throw new AppError('invalid_request', 'It is still being registered; run the import again later.');
    await pause(POLL_MS);
    now = (await target.get<{ model_version: MlflowModelVersion }>('model-versions/get', { name, version }))
      .model_version;
  }
}
