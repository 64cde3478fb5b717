import type { Provenance } from '@millrace/integrity';

/** Kind of build that provenance names. */
const BUILD_TYPE = 'urn:millrace:build:mlflow:v1';
/** The platform as the builder, as for every other way in. */
const BUILDER_ID = 'urn:millrace:platform:v1';

/** Which run or logged model of MLflow a package was taken from. */
export function mlflowProvenance(from: {
  by: string;
  registrationId: string;
  source: string;
  runId: string;
  loggedModelId: string;
}): Omit<Provenance, 'subjects'> {
  return {
    buildType: BUILD_TYPE,
    externalParameters: {
      registeredBy: from.by,
      source: from.source,
      runId: from.runId,
      loggedModelId: from.loggedModelId,
    },
    resolvedDependencies: [],
    builderId: BUILDER_ID,
    invocationId: from.registrationId,
  };
}
