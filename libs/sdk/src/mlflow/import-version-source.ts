import { AppError } from '@millrace/contracts';
import type { ImportState } from './import-state.ts';
import type { MlflowModelVersion } from './mlflow-shapes.ts';

/** What a version is made of, in the ids of the platform. */
export type VersionSource = {
  readonly source: string;
  readonly runId: string | undefined;
  readonly loggedModelId: string | undefined;
};

/** Copies of copies of versions that are followed to where the files lie. */
const COPIES_MAX = 16;

/**
 * Where the files of a version lie among what was copied: a logged model, a folder of a run, or another version.
 * @throws AppError `invalid_request` when they lie elsewhere, or not all of them were copied
 */
export async function versionSource(state: ImportState, version: MlflowModelVersion): Promise<VersionSource> {
  const runId = state.runIds.get(version.run_id ?? '');
  for (let from = version, copies = 0; copies < COPIES_MAX; copies += 1) {
    const { source = '' } = from;
    const named = /^models:\/+(m-[^/]+)/.exec(source)?.[1];
    const loggedModelId = state.loggedModelIds.get(from.model_id || named || '');
    if (loggedModelId !== undefined)
      return whole(state, { source: `models:/${loggedModelId}`, runId, loggedModelId });
    const path = pathInRun(state, source, from.run_id ?? '');
    if (path !== undefined) return whole(state, { ...path, loggedModelId: undefined });
    const [, name, number] = /^models:\/+(.+)\/(\d+)$/.exec(source) ?? [];
    if (name === undefined || number === undefined) break;
    const copied = state.versions.get(`${name}/${number}`);
    if (copied !== undefined) return { source: `models:/${name}/${copied}`, runId, loggedModelId: undefined };
    // of a model whose turn comes later
    from = (
      await state.source.get<{ model_version: MlflowModelVersion }>('model-versions/get', {
        name,
        version: number,
      })
    ).model_version;
  }
  throw new AppError(
    'invalid_request',
    `Its files lie at '${version.source}', in no run or logged model that was imported; import the experiment of its run too, or upload the files with millrace upload.`,
  );
}

/** Throws `invalid_request` when something of it is missing. */
function whole(state: ImportState, from: VersionSource): VersionSource {
  const { source } = from;
  for (const part of state.unfinished)
    if (part === source || part.startsWith(`${source}/`) || source.startsWith(`${part}/`))
      throw new AppError(
        'invalid_request',
        'Some of its files could not be copied, as is said of its run or logged model; run the import again when they can be read.',
      );
  return from;
}

/** `runs:/ID/path`, or a path below the artifacts of some run that was imported. */
function pathInRun(
  state: ImportState,
  source: string,
  ownRunId: string,
): Pick<VersionSource, 'source' | 'runId'> | undefined {
  const [, named = ownRunId, below] = /^runs:\/+([^/]+)\/(.+)$/.exec(source) ?? [];
  const uris = state.runUris.get(named);
  const runId = state.runIds.get(named);
  if (uris === undefined || runId === undefined) return undefined;
  const root = uris.from.replace(/\/+$/, '');
  const path = below ?? (source.startsWith(`${root}/`) ? source.slice(root.length + 1) : undefined);
  return path === undefined ? undefined : { source: `${uris.to}/${path}`, runId };
}
