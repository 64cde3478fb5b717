import type { Database } from '@millrace/database';
import type { HttpApp, Logger } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import type { Gate } from '../governance/gate.ts';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ModelService } from '../models/model.service.ts';
import type { RegistrationService } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import type * as schema from '../schema.ts';
import type { Tracking } from '../tracking/tracking.ts';
import { createWorkLimit } from '../uploads/work-limit.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { VersionService } from '../versions/version.service.ts';
import { createModelRegistrationRepository } from './model-registration.repository.ts';
import { createModelRegistrationService } from './model-registration.service.ts';
import { createModelSources } from './model-source.ts';
import { modelVersionRoutes } from './model-version.routes.ts';
import { registeredModelRoutes } from './registered-model.routes.ts';
import { createRegistryRepository } from './registry.repository.ts';
import type { RegistryService } from './registry.service.ts';
import { createRegistryService } from './registry.service.ts';

/** Models that are digested and signed at once; the others wait as rows. */
const REGISTRATIONS_AT_ONCE = 2;
const REGISTRATIONS_WAITING_MAX = 1_000;

export type MlflowRegistry = {
  /** MLflow's registered models, below `/api`. */
  readonly routes: readonly ((app: HttpApp) => Promise<void>)[];
  stop(): Promise<void>;
};

/** MLflow's registered models, below `/api`. */
export const registryRoutes = (registry: RegistryService): MlflowRegistry['routes'] => [
  registeredModelRoutes(registry),
  modelVersionRoutes(registry),
];

/** Puts MLflow's model registry together, on the models and versions of the platform. */
export function createMlflowRegistry(deps: {
  database: Database;
  tables: typeof schema;
  storage: Storage;
  key: SigningKey;
  tracking: Pick<Tracking, 'artifacts' | 'runs' | 'loggedModels'>;
  models: ModelRepository;
  modelService: ModelService;
  versionRows: VersionRepository;
  versions: VersionService;
  registrations: RegistrationService;
  gate: Gate;
  changeLog: ChangeLog;
  logger: Logger;
}): MlflowRegistry {
  const { database, tables, tracking, versions } = deps;
  const rows = createModelRegistrationRepository(tables.modelRegistrations);
  const registrations = createModelRegistrationService({
    ...deps,
    artifacts: tracking.artifacts,
    rows,
    limit: createWorkLimit(REGISTRATIONS_AT_ONCE, REGISTRATIONS_WAITING_MAX),
  });
  const registry = createRegistryService({
    database,
    registry: createRegistryRepository(tables),
    modelService: deps.modelService,
    versions,
    rows,
    registrations,
    sources: createModelSources({ versions, runs: tracking.runs, loggedModels: tracking.loggedModels }),
  });
  return {
    routes: registryRoutes(registry),
    stop: registrations.stop,
  };
}
