import { AppError } from '@millrace/contracts';
import { findExperiments, importExperiment } from './import-experiments.ts';
import { importRegisteredModel, registeredModels } from './import-registered-models.ts';
import type { ImportProgress, ImportReport, ImportState } from './import-state.ts';
import { emptyReport, goingOn } from './import-state.ts';
import { createMlflowServer } from './mlflow-server.ts';

/** What to copy from where. */
export type MlflowImportOptions = {
  /** Address of an MLflow server, as its clients have it in MLFLOW_TRACKING_URI; may hold user and password. */
  readonly uri: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Bearer token; instead of user and password. */
  readonly token?: string | undefined;
  /** Names of experiments; without them everything is copied. */
  readonly experiments?: readonly string[] | undefined;
  /** Only counts what would be copied. */
  readonly isDryRun?: boolean;
  /** Compares also runs that have ended and did not change since they were copied, for instance their files. */
  readonly isRecheck?: boolean;
  readonly onProgress?: (progress: ImportProgress) => void;
  readonly signal?: AbortSignal | undefined;
};

/** Takes things in from elsewhere. */
export function createImportsClient(platform: { url: string; token?: string; fetch?: typeof fetch }) {
  return {
    /**
     * Copies experiments, runs, logged models, registered models, versions and aliases of an MLflow server. Everything
     * keeps its first ids as tags (`imported.*`), by which the next import knows it: nothing is copied twice, and one
     * that broke off goes on. What fails is in the report and does not stop the rest.
     * @throws AppError `invalid_request` for an address or a name that is wrong, `dependency_unavailable`,
     * `auth_required`, `scope_missing`, `request_cancelled`
     */
    async mlflow(options: MlflowImportOptions): Promise<ImportReport> {
      const { origin, authorization } = sourceOf(options);
      const shared = { fetch: platform.fetch, signal: options.signal };
      const source = createMlflowServer({
        ...shared,
        origin,
        authorization,
        what: 'MLflow server',
        signInHint: 'Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.',
      });
      const target = createMlflowServer({
        ...shared,
        origin: platform.url.replace(/\/+$/, ''),
        authorization: platform.token === undefined ? undefined : `Bearer ${platform.token}`,
        what: 'platform',
        signInHint: 'Give a key with --token or MILLRACE_TOKEN.',
      });
      const state: ImportState = {
        source,
        target,
        uri: origin,
        isDryRun: options.isDryRun === true,
        isPartial: options.experiments !== undefined,
        isRecheck: options.isRecheck === true,
        runIds: new Map(),
        runUris: new Map(),
        loggedModelIds: new Map(),
        unfinished: new Set(),
        versions: new Map(),
        report: emptyReport(options.isDryRun === true),
        onProgress: options.onProgress ?? (() => undefined),
      };
      for (const experiment of await findExperiments(source, options.experiments))
        await goingOn(state, `experiment ${experiment.name}`, () => importExperiment(state, experiment));
      for await (const page of registeredModels(source))
        for (const model of page)
          await goingOn(state, `registered model ${model.name}`, () => importRegisteredModel(state, model));
      return state.report;
    },
  };
}

function sourceOf(options: MlflowImportOptions): { origin: string; authorization: string | undefined } {
  const url = URL.canParse(options.uri) ? new URL(options.uri) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new AppError(
      'invalid_request',
      `The address of an MLflow server begins with http:// or https://, unlike '${options.uri}'; files and databases of MLflow are read by starting mlflow server on them.`,
    );
  const username = options.username ?? decodeURIComponent(url.username);
  const password = options.password ?? decodeURIComponent(url.password);
  const basic = Buffer.from(`${username}:${password}`).toString('base64');
  const own = username === '' ? undefined : `Basic ${basic}`;
  return {
    origin: `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
    authorization: options.token === undefined ? own : `Bearer ${options.token}`,
  };
}
