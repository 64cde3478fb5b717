export {
  type Connection,
  readConnection,
  removeConnection,
  supervisorOf,
  writeConnection,
} from './connection.ts';
export { INBOX_PREFIXES, type InfraCoordinates } from './coordinates.ts';
export { isTorchAtHand } from './cpu-wheels.ts';
export { type External, readExternal } from './external.ts';
export { folderSize } from './folder-size.ts';
export { environmentsRoot, type Home, homeRoot, openHome, REPOSITORY_ROOT } from './home.ts';
export { type InfraOptions, type InfraPlan, planInfrastructure } from './infrastructure.ts';
export { ensureKeys, type KeyFiles } from './keys.ts';
export { LaunchError } from './launch-error.ts';
export { moduleBundleVariables } from './module-bundle.ts';
export { type EmbeddedNats, type NatsOptions, startNats } from './nats.ts';
export type { Part, PartKind } from './part.ts';
export {
  endProcesses,
  isAlive,
  livePids,
  type ProcessId,
  readPidFile,
  startTicksOf,
  writePidFile,
} from './pid-file.ts';
export { type Platform, type PlatformOptions, startPlatform, stopPlatform } from './platform.ts';
export { type PlatformState, readPlatformState } from './platform-state.ts';
export { freePort, isPortFree, requirePort } from './ports.ts';
export { type EmbeddedPostgres, type PostgresOptions, startPostgres } from './postgres.ts';
export { logTail, type ManagedProcess, type ProcessExit, type ProcessSpec, startProcess } from './process.ts';
export { type Memory, processMemory, processTree, treeMemory } from './process-tree.ts';
export { findPython, type Python } from './python.ts';
export { ENVIRONMENTS, type Environment, type EnvironmentName, ensureEnvironment } from './python-env.ts';
export { deleteBucket, ensureBucket, isBucketWritable, type S3Target } from './s3-probe.ts';
export { type EmbeddedSeaweed, type SeaweedOptions, type SeaweedPorts, startSeaweed } from './seaweedfs.ts';
export { loadSecrets, type Secrets } from './secrets.ts';
export { choosePorts, nodeBinary, nodeFlags, SERVICE_NAMES, type ServiceName } from './service-parts.ts';
export type { PartState, PartStatus } from './supervisor.ts';
export { createSupervisor, type Supervisor } from './supervisor.ts';
export { type Pool, pythonPath, workerEnvironments, workerPools } from './worker-parts.ts';
