import type { Database } from '@millrace/database';
import type { HttpApp, Logger } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import { createWorkLimit } from '../uploads/work-limit.ts';
import type { ArtifactRepository } from './artifact.repository.ts';
import { createArtifactRepository } from './artifact.repository.ts';
import { artifactRoutes } from './artifact.routes.ts';
import type { ArtifactService } from './artifact.service.ts';
import { createArtifactService } from './artifact.service.ts';
import type { ArtifactTables } from './artifact.table.ts';
import { createExperimentRepository } from './experiment.repository.ts';
import { experimentRoutes } from './experiment.routes.ts';
import type { ExperimentService } from './experiment.service.ts';
import { createExperimentService } from './experiment.service.ts';
import type { ExperimentTables } from './experiment.table.ts';
import { createGroupCommit } from './group-commit.ts';
import { inputRoutes } from './inputs.routes.ts';
import { logRoutes } from './log.routes.ts';
import type { LogService } from './log.service.ts';
import { createLogService } from './log.service.ts';
import type { LogFault, LogRequest } from './log-writer.ts';
import { createLogWriter } from './log-writer.ts';
import { createLoggedModelRepository } from './logged-model.repository.ts';
import { loggedModelRoutes } from './logged-model.routes.ts';
import type { LoggedModelService } from './logged-model.service.ts';
import { createLoggedModelService } from './logged-model.service.ts';
import type { LoggedModelTables } from './logged-model.table.ts';
import type { RunRepository } from './run.repository.ts';
import { createRunRepository } from './run.repository.ts';
import { runRoutes } from './run.routes.ts';
import type { RunService } from './run.service.ts';
import { createRunService } from './run.service.ts';
import type { RunTables } from './run.table.ts';
import { serverRoutes } from './server.routes.ts';
import type { TrainingRunService } from './training-run.service.ts';
import { createTrainingRunService } from './training-run.service.ts';

/** Rows of one transaction of what runs log: ten full batches, some 50 ms of work. */
const GROUP_ROWS_MAX = 10_000;
/** Requests to log that may wait for the transaction before theirs. */
const WAITING_MAX = 10_000;
/** Artifacts taken in at once, each with up to 24 MiB in memory; and those that may wait. */
const UPLOADS_AT_ONCE = 16;
const UPLOADS_WAITING_MAX = 1_024;
const SWEEP_INTERVAL_MS = 10 * 60_000;

export type Tracking = {
  /** Everything of MLflow's tracking API, below `/api`. */
  readonly routes: readonly ((app: HttpApp) => Promise<void>)[];
  readonly experiments: ExperimentService;
  readonly runs: RunService;
  readonly logs: LogService;
  readonly loggedModels: LoggedModelService;
  readonly artifacts: ArtifactService;
  readonly trainingRuns: TrainingRunService;
  stop(): void;
};

/** MLflow's tracking API, below `/api`. */
export function trackingRoutes(
  deps: Pick<Tracking, 'experiments' | 'runs' | 'logs' | 'loggedModels' | 'artifacts'> & {
    database: Database;
    runRows: RunRepository;
  },
): Tracking['routes'] {
  return [
    serverRoutes(),
    experimentRoutes(deps),
    runRoutes(deps),
    logRoutes(deps),
    inputRoutes(deps),
    loggedModelRoutes(deps),
    artifactRoutes(deps),
  ];
}

/** Puts MLflow's experiments, runs, logged models and artifacts together. */
export function createTracking(deps: {
  database: Database;
  tables: ExperimentTables & RunTables & LoggedModelTables & ArtifactTables;
  storage: Storage;
  artifactBytesMax: number;
  logger: Logger;
  /** Keeps artifacts within the bounds of their tenants. */
  bound?: (artifacts: ArtifactRepository) => ArtifactRepository;
  /** Shows more as artifacts than what runs log. */
  extend?: (artifacts: ArtifactService) => ArtifactService;
}): Tracking {
  const { database, tables, storage, logger } = deps;
  const experimentRows = createExperimentRepository(tables);
  const experiments = createExperimentService({ database, experiments: experimentRows, tables });
  const runRows = createRunRepository(tables);
  const runs = createRunService({ database, experiments, runs: runRows, tables });
  const writer = createLogWriter(database, tables);
  const commits = createGroupCommit<LogRequest, LogFault>({
    write: writer.write,
    sizeOf: ({ metrics, params, tags }) => metrics.length + params.length + tags.length,
    sizeMax: GROUP_ROWS_MAX,
    waitingMax: WAITING_MAX,
  });
  const logs = createLogService({ commits });
  const loggedModels = createLoggedModelService({
    database,
    experiments,
    runs,
    models: createLoggedModelRepository(tables),
    tables,
  });
  const { extend = (service) => service, bound = (repository) => repository } = deps;
  const own = createArtifactService({
    database,
    artifacts: bound(createArtifactRepository(tables)),
    storage,
    bytesMax: deps.artifactBytesMax,
    limit: createWorkLimit(UPLOADS_AT_ONCE, UPLOADS_WAITING_MAX),
  });
  const artifacts = extend(own);
  const sweeping = setInterval(() => {
    artifacts
      .sweep(Date.now())
      .catch((error: unknown) =>
        logger.warn({ err: error }, 'Old artifacts could not be removed; later again.'),
      );
  }, SWEEP_INTERVAL_MS);
  sweeping.unref();
  return {
    routes: trackingRoutes({ database, experiments, runs, runRows, logs, loggedModels, artifacts }),
    experiments,
    runs,
    logs,
    loggedModels,
    artifacts,
    trainingRuns: createTrainingRunService({
      experiments: experimentRows,
      runs: runRows,
      writeIn: writer.writeIn,
    }),
    stop: () => clearInterval(sweeping),
  };
}
