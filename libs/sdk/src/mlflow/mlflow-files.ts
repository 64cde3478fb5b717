import { AppError } from '@millrace/contracts';
import { inLanes } from './lanes.ts';
import type { MlflowServer } from './mlflow-server.ts';

/** Files on their way at once; each is a stream, so this bounds memory. */
const FILES_AT_ONCE = 4;
/** Folders within folders; a server that tells of more has a loop. */
const DEPTH_MAX = 64;
const PROXY = '/api/2.0/mlflow-artifacts/artifacts';

type Entry = { readonly path: string; readonly is_dir?: boolean; readonly file_size?: number | string };

/** Files of a run or of a logged model; paths are relative to their root. */
export type FileTree = {
  list(folder: string): Promise<readonly Entry[]>;
  open(path: string): Promise<ReadableStream<Uint8Array>>;
};

const encoded = (path: string): string => path.split('/').map(encodeURIComponent).join('/');
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
  };
}

/** What was copied: files that had to be sent, their bytes, and files that were there. */
export type CopiedFiles = { files: number; sizeBytes: number; present: number };

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
 * a copy that broke off goes on. Throws what either server answers.
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
  const copied: CopiedFiles = { files: 0, sizeBytes: 0, present: 0 };
  if (wanted.size === 0) return copied;
  const there = await filesOf(proxied(target, root));
  await inLanes(wanted, FILES_AT_ONCE, async ([path, sizeBytes]) => {
    if (there.get(path) === sizeBytes) {
      copied.present += 1;
      return;
    }
    await target.put(`${PROXY}/${encoded(joined(root, path))}`, await from.open(path));
    copied.files += 1;
    copied.sizeBytes += sizeBytes;
  });
  return copied;
}
