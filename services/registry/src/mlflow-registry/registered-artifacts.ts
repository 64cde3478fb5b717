import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import { blobKey } from '@millrace/storage';
import type { FolderEntry } from '../tracking/artifact.repository.ts';
import type { ArtifactService } from '../tracking/artifact.service.ts';
import { artifactPath } from '../tracking/artifact-path.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { VersionService } from '../versions/version.service.ts';

/** Beside the experiments, whose names are numbers: the signed packages of versions, by id. */
const ROOT = 'registered-models';
const ADDRESS_SECONDS = 3_600;

/** Where MLflow's clients find the files of a version: those that were signed, whatever became of the run's. */
export const packageUri = (modelVersionId: string): string => `mlflow-artifacts:/${ROOT}/${modelVersionId}`;

const isRegistered = (raw: string): boolean => raw === ROOT || raw.startsWith(`${ROOT}/`);

/** Shows the packages of versions as artifacts that can be read and not written. */
export function withRegisteredPackages(
  artifacts: ArtifactService,
  deps: { database: Database; versionRows: VersionRepository; versions: VersionService; storage: Storage },
): ArtifactService {
  const { database, versionRows, versions, storage } = deps;

  const missing = (path: string): AppError =>
    new AppError('artifact_not_found', `No artifact lies at '${path}'.`);

  /** The files of the version that the path leads to, with its signature checked, and the rest of the path. */
  async function packageAt(tenant: string, raw: string) {
    const path = artifactPath(raw);
    const [, id = '', ...rest] = path.split('/');
    const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
    const known = isId ? await versionRows.findById(database.db, id) : undefined;
    const found = known === undefined ? undefined : await versions.findById(id);
    if (found === undefined || found.model.tenant !== tenant) throw missing(path);
    versions.assertSigned(found);
    return { files: found.package.manifest.files, rest: rest.join('/'), path };
  }

  async function fileAt(tenant: string, raw: string) {
    const { files, rest, path } = await packageAt(tenant, raw);
    const file = files.find((one) => one.path === rest);
    if (file === undefined) throw missing(path);
    return file;
  }

  function assertWritable(raw: string): void {
    if (!isRegistered(raw)) return;
    throw new AppError('invalid_request', 'The files of a registered version are signed and never change.');
  }

  return {
    ...artifacts,
    async open(tenant, raw) {
      if (!isRegistered(raw)) return artifacts.open(tenant, raw);
      const { sha256, sizeBytes } = await fileAt(tenant, raw);
      return { sizeBytes, body: await storage.getBlob(sha256) };
    },
    async presign(tenant, raw) {
      if (!isRegistered(raw)) return artifacts.presign(tenant, raw);
      const { sha256, sizeBytes } = await fileAt(tenant, raw);
      const url = await storage.presignGet(blobKey(sha256), { expiresSeconds: ADDRESS_SECONDS });
      return { url, sizeBytes };
    },
    async list(tenant, raw) {
      if (!isRegistered(raw)) return artifacts.list(tenant, raw);
      const { files, rest } = await packageAt(tenant, raw);
      const prefix = rest === '' ? '' : `${rest}/`;
      const entries = new Map<string, FolderEntry>();
      for (const { path, sizeBytes } of files.filter((file) => file.path.startsWith(prefix))) {
        const [name = '', ...deeper] = path.slice(prefix.length).split('/');
        entries.set(name, { name, isFolder: deeper.length > 0, sizeBytes });
      }
      return [...entries.values()];
    },
    async put(tenant, raw, source) {
      assertWritable(raw);
      return artifacts.put(tenant, raw, source);
    },
    async remove(tenant, raw) {
      assertWritable(raw);
      return artifacts.remove(tenant, raw);
    },
    async beginUpload(tenant, raw, parts) {
      assertWritable(raw);
      return artifacts.beginUpload(tenant, raw, parts);
    },
  };
}
