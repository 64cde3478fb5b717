import type { DatasetInput } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Storage } from '@millrace/storage';
import { blobKey } from '@millrace/storage';
import type { BatchJobBody, InputFormat } from './batch-request.ts';
import type { BatchSource } from './batch-spec.ts';

/** Objects that one job reads. */
const SOURCES_MAX = 1_000;
const ROOT = 'batch-inputs/';

const EXTENSIONS: Readonly<Record<string, InputFormat>> = {
  csv: 'csv',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  npy: 'npy',
  parquet: 'parquet',
};

/** The format that a file's name says; undefined when it says none. */
function formatOf(path: string): InputFormat | undefined {
  const extension = path.slice(path.lastIndexOf('.') + 1).toLowerCase();
  return Object.hasOwn(EXTENSIONS, extension) ? EXTENSIONS[extension] : undefined;
}

export type SourceDeps = {
  storage: Pick<Storage, 'listObjects'>;
  resolveDataset: (request: { tenant: string; versionId: string }) => Promise<DatasetInput>;
};

/** Keys of a tenant lie under its own folder. Throws `key_not_allowed`. */
function assertAllowed(key: string, tenant: string, isPrefix: boolean): void {
  const root = `${ROOT}${tenant}/`;
  if (!key.startsWith(root) || (key === root && !isPrefix))
    throw new AppError('key_not_allowed', `Batch jobs read objects under ${root} and nowhere else.`);
  if (isPrefix && !key.endsWith('/'))
    throw new AppError('invalid_request', 'input.prefix must end with /; name a single object as input.key.');
}

async function list(deps: SourceDeps, tenant: string, input: BatchJobBody['input']): Promise<BatchSource[]> {
  if ('datasetVersionId' in input) {
    const { files } = await deps.resolveDataset({ tenant, versionId: input.datasetVersionId });
    return files.map(({ path, sha256, sizeBytes }) => ({ path, key: blobKey(sha256), sha256, sizeBytes }));
  }
  const isPrefix = 'prefix' in input;
  const key = isPrefix ? input.prefix : input.key;
  assertAllowed(key, tenant, isPrefix);
  const found = await deps.storage.listObjects(key, SOURCES_MAX + 1);
  return found
    .filter((object) => isPrefix || object.key === key)
    .map((object) => ({ path: object.key, key: object.key, sizeBytes: object.sizeBytes, etag: object.etag }));
}

/** Takes the files of one format: the given one, else the only one that the names say. */
function chooseFormat(
  sources: readonly BatchSource[],
  given: InputFormat | undefined,
): { format: InputFormat; sources: BatchSource[] } {
  const known = new Set(sources.flatMap(({ path }) => formatOf(path) ?? []));
  const [only, ...others] = known;
  const format = given ?? only;
  if (format === undefined || (given === undefined && others.length > 0)) {
    const names =
      only === undefined ? 'no file has a name that says its format' : `there are ${[...known].join(', ')}`;
    throw new AppError('batch_input_not_found', `Say by \`format\` which files to read: ${names}.`);
  }
  const named = sources.filter(({ path }) => formatOf(path) === format);
  return { format, sources: named.length > 0 ? named : [...sources] };
}

/**
 * The objects that a job reads, in order, pinned as they are now. Throws `key_not_allowed`, `bad_id`,
 * `batch_input_not_found`, `payload_too_large` and what the dataset service and the object store throw.
 */
export async function findSources(
  deps: SourceDeps,
  tenant: string,
  body: Pick<BatchJobBody, 'input' | 'format'>,
): Promise<{ format: InputFormat; sources: BatchSource[] }> {
  const all = await list(deps, tenant, body.input);
  if (all.length === 0)
    throw new AppError('batch_input_not_found', 'There is no object at this place; upload the input first.');
  const chosen = chooseFormat(all, body.format);
  if (chosen.sources.length > SOURCES_MAX) {
    throw new AppError(
      'payload_too_large',
      `The input has more than ${SOURCES_MAX} files; join them, or submit several jobs.`,
    );
  }
  return chosen;
}
