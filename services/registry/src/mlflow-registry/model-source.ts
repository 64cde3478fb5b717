import { AppError } from '@millrace/contracts';
import { artifactPath } from '../tracking/artifact-path.ts';
import type { LoggedModelService } from '../tracking/logged-model.service.ts';
import type { RunService } from '../tracking/run.service.ts';
import type { VersionService } from '../versions/version.service.ts';

/** Where the files of a model are: below a path of artifacts (and whose run made them), or in a version that is registered. */
export type ModelSource =
  | { readonly path: string; readonly runId?: string }
  | { readonly modelVersionId: string };

const ARTIFACTS = /^mlflow-artifacts:(?:\/\/[^/]*)?\/(.+)$/;
const RUN = /^runs:\/+([^/]+)(?:\/(.*))?$/;
const LOGGED = /^models:\/+(m-[0-9a-f]{32})$/;
const VERSION = /^models:\/+([^/@]+)(?:\/([^/@]+)|(@[^/]+))$/;

const below = (root: string, rest: string | undefined): string => (rest ? `${root}/${rest}` : root);

/** Finds what a source means, as MLflow's clients write it. */
export function createModelSources(deps: {
  versions: VersionService;
  runs: RunService;
  loggedModels: LoggedModelService;
}) {
  const { versions, runs, loggedModels } = deps;

  function pathOf(uri: string): string {
    const path = ARTIFACTS.exec(uri)?.[1];
    if (path !== undefined) return artifactPath(path);
    throw new AppError(
      'invalid_request',
      `Invalid model version source: '${uri.slice(0, 200)}'. Only artifacts that are kept here can be registered (mlflow-artifacts:/…, runs:/…, models:/…).`,
    );
  }

  async function loggedModel(tenant: string, id: string): Promise<ModelSource> {
    const found = await loggedModels.get(tenant, id);
    const runId = found?.info.source_run_id;
    return { path: pathOf(found?.info.artifact_uri ?? ''), ...(runId !== undefined && { runId }) };
  }

  return {
    /** @throws AppError `invalid_request`, and those of what is not there */
    async resolve(tenant: string, source: string, loggedModelId: string): Promise<ModelSource> {
      const [, logged = loggedModelId === '' ? undefined : loggedModelId] = LOGGED.exec(source) ?? [];
      if (logged !== undefined) return loggedModel(tenant, logged);
      const [, runId, rest] = RUN.exec(source) ?? [];
      if (runId !== undefined) {
        const { artifactUri } = await runs.find(tenant, runId);
        return { path: pathOf(below(artifactUri, rest)), runId };
      }
      const [, model, version, alias] = VERSION.exec(source) ?? [];
      if (model === undefined) return { path: pathOf(source) };
      const found = await versions.find(tenant, decodeURIComponent(model), version ?? alias);
      return { modelVersionId: found.version.id };
    },
  };
}
