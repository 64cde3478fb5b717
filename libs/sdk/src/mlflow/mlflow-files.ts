import { AppError, isAppError } from '@millrace/contracts';
import { inLanes } from './lanes.ts';
import type { MlflowServer } from './mlflow-server.ts';

/** Files on their way at once; each is a stream, so this bounds memory. */
const FILES_AT_ONCE = 4;
/** Folders within folders; a server that tells of more has a loop. */
const DEPTH_MAX = 64;
/** Refusals that are no fault of a file. */
const OF_THE_CALLER: ReadonlySet<string> = new Set([
  'auth_required',
  'scope_missing',
  'request_cancelled',
  'rate_limited',
]);
const PROXY = '/api/2.0/mlflow-artifacts/artifacts';

type Entry = { readonly path: string; readonly is_dir?: boolean; readonly file_size?: number | string };

/** Files of a run or of a logged model; paths are relative to their root. */
export type FileTree = {
  list(folder: string): Promise<readonly Entry[]>;
  open(path: string): Promise<ReadableStream<Uint8Array>>;
  /** Throws when the server answers nothing at all any more. */
  check(): Promise<unknown>;
};

const encoded = (path: string): string => path.split('/').map(encodeURIComponent).join('/');
/** A question that costs a server little. */
const checked = (server: MlflowServer) => () => server.send('POST', 'experiments/search', { max_results: 1 });
const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join('/');

/** The path of an artifact root behind the server itself; undefined for one in a store that only the server reads. */
function proxiedRoot(uri: string): string | undefined {
  return /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.+?)\/*$/.exec(uri)?.[1];
}

function proxied(server: MlflowServer, root: string): FileTree {
  return {
    async list(folder) {
      // MLflow gives names there, not paths
      const { files = [] } = await server.get<{ files?: Entry[] }>(PROXY, {
        path: joined(root, folder),
      });
      return files.map((entry) => ({ ...entry, path: joined(folder, entry.path) }));
    },
    open: (path) => server.open(`${PROXY}/${encoded(joined(root, path))}`),
    check: checked(server),
  };
}

/** The files of a run, wherever the server keeps them. */
export function runFiles(server: MlflowServer, runId: string, artifactUri: string): FileTree {
  const root = proxiedRoot(artifactUri);
  if (root !== undefined) return proxied(server, root);
  return {
    list: async (path) =>
      (await server.get<{ files?: Entry[] }>('artifacts/list', { run_id: runId, path: path || undefined }))
        .files ?? [],
    open: (path) => server.open('/get-artifact', { run_id: runId, run_uuid: runId, path }),
    check: checked(server),
  };
}

/** The files of a logged model, wherever the server keeps them. */
export function loggedModelFiles(server: MlflowServer, modelId: string, artifactUri: string): FileTree {
  const root = proxiedRoot(artifactUri);
  if (root !== undefined) return proxied(server, root);
  const id = encodeURIComponent(modelId);
  return {
    list: async (path) =>
      (
        await server.get<{ files?: Entry[] }>(`logged-models/${id}/artifacts/directories`, {
          artifact_directory_path: path || undefined,
        })
      ).files ?? [],
    open: (path) =>
      server.open(`/ajax-api/2.0/mlflow/logged-models/${id}/artifacts/files`, { artifact_file_path: path }),
    check: checked(server),
  };
}

/** What was copied: files that had to be sent, their bytes, files that were there, and those the server did not send. */
export type CopiedFiles = {
  files: number;
  sizeBytes: number;
  present: number;
  missing: { readonly path: string; readonly why: string }[];
};

async function filesOf(tree: FileTree, folder = '', depth = 0): Promise<Map<string, number>> {
  if (depth > DEPTH_MAX)
    throw new AppError(
      'invalid_request',
      `Folders of artifacts lie more than ${DEPTH_MAX} deep below '${folder}'.`,
    );
  const found = new Map<string, number>();
  for (const entry of await tree.list(folder)) {
    if (entry.is_dir !== true) found.set(entry.path, Number(entry.file_size ?? 0));
    else for (const [path, size] of await filesOf(tree, entry.path, depth + 1)) found.set(path, size);
  }
  return found;
}

/**
 * Copies the files that the target lacks or has with another size, as streams. A file is there when all of it came, so
 * a copy that broke off goes on. A file that the server cannot send, while it answers otherwise, is missing: MLflow 2
 * fails for names beyond Latin-1. Throws what the target answers, and the source when it answers nothing else either.
 */
export async function copyFiles(
  from: FileTree,
  target: MlflowServer,
  targetUri: string,
): Promise<CopiedFiles> {
  const root = proxiedRoot(targetUri);
  if (root === undefined)
    throw new AppError(
      'invalid_request',
      `The platform keeps artifacts at '${targetUri}', which is not its own.`,
    );
  const wanted = await filesOf(from);
  const copied: CopiedFiles = { files: 0, sizeBytes: 0, present: 0, missing: [] };
  if (wanted.size === 0) return copied;
  const there = await filesOf(proxied(target, root));
  await inLanes(wanted, FILES_AT_ONCE, async ([path, sizeBytes]) => {
    if (there.get(path) === sizeBytes) {
      copied.present += 1;
      return;
    }
    const why = await copyFile(from, path, (body) =>
      target.put(`${PROXY}/${encoded(joined(root, path))}`, body),
    );
    if (why !== undefined) return void copied.missing.push({ path, why });
    copied.files += 1;
    copied.sizeBytes += sizeBytes;
  });
  return copied;
}

/** Sends one file; gives why the source could not send it. Throws what stands in the way of other files too. */
async function copyFile(
  from: FileTree,
  path: string,
  put: (body: ReadableStream<Uint8Array>) => Promise<void>,
): Promise<string | undefined> {
  let fault: Error | undefined;
  const note = (error: unknown): never => {
    fault = error as Error;
    throw error;
  };
  try {
    await put(watched(await from.open(path).catch(note), note));
    return undefined;
  } catch (error) {
    if (fault === undefined || (isAppError(fault) && OF_THE_CALLER.has(fault.code))) throw error;
    await from.check();
    return isAppError(fault) ? fault.message : `the server broke off while it sent it (${fault.message})`;
  }
}

/** The same bytes; `note` is told the error that ends them too early, and throws it. */
function watched(
  body: ReadableStream<Uint8Array>,
  note: (error: unknown) => never,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read().catch(note);
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
