import { Readable } from 'node:stream';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { PACKAGE_FILES_MAX } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { isPickle } from '../registration/pickles.ts';
import type { Artifact, ArtifactService } from '../tracking/artifact.service.ts';

/** Files that are read at once; each goes through a temporary file. */
const FILES_AT_ONCE = 4;

/** The files of a model as a package, and those among them that hold pickles. */
export type ModelFiles = { readonly files: readonly ArtifactRef[]; readonly pickles: readonly string[] };

async function store(
  storage: Storage,
  artifact: Artifact,
): Promise<{ ref: Omit<ArtifactRef, 'path'>; head: Buffer }> {
  const source = await storage.readObject(artifact.objectKey);
  const head: Buffer[] = [];
  async function* watched(): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      if (head.length === 0) head.push((chunk as Buffer).subarray(0, 2));
      yield chunk as Buffer;
    }
  }
  const ref = await storage.putBlob(Readable.from(watched(), { objectMode: false }), {
    ...(artifact.sha256 !== null && { sha256: artifact.sha256 }),
    sizeBytes: artifact.sizeBytes,
  });
  return { ref, head: head[0] ?? Buffer.alloc(0) };
}

/**
 * Reads every file below a path of artifacts, checks those whose digest is known and keeps each under its digest.
 * @throws AppError `artifact_not_found`, `invalid_request` for too many files, `checksum_mismatch`, `artifact_missing`
 */
export async function takeModelFiles(
  deps: { storage: Storage; artifacts: ArtifactService },
  tenant: string,
  path: string,
): Promise<ModelFiles> {
  const found = await deps.artifacts.files(tenant, path, PACKAGE_FILES_MAX + 1);
  if (found.length === 0)
    throw new AppError('artifact_not_found', `No artifact lies at '${path}'; log the model first.`);
  if (found.length > PACKAGE_FILES_MAX)
    throw new AppError('invalid_request', `A model has at most ${PACKAGE_FILES_MAX} files.`);
  const files: ArtifactRef[] = [];
  const pickles: string[] = [];
  const waiting = [...found];
  const take = async (): Promise<void> => {
    for (let artifact = waiting.shift(); artifact !== undefined; artifact = waiting.shift()) {
      // a path that is a file itself becomes a package of that file
      const name =
        artifact.path === path ? (path.split('/').at(-1) as string) : artifact.path.slice(path.length + 1);
      const { ref, head } = await store(deps.storage, artifact);
      files.push({ path: name, ...ref });
      if (isPickle(name, head)) pickles.push(name);
    }
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, take));
  return { files, pickles: pickles.sort() };
}
