import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  endProcesses,
  ensureEnvironment,
  environmentsRoot,
  type InfraCoordinates,
  livePids,
  type ManagedProcess,
  moduleBundleVariables,
  openHome,
  planInfrastructure,
  startTicksOf,
} from '@millrace/embedded';

/** Environment variable with the coordinates as JSON; jest's workers and pytest both read it. */
export const TEST_INFRA_VARIABLE = 'MILLRACE_TEST_INFRA';

const HOME_PREFIX = 'millrace-test-';
const LEFTOVER_GRACE_MS = 500;

/** The servers that all tests of a run share. */
export type TestInfra = InfraCoordinates & {
  /** Folder of the run: logs/<part>.log, pids/<part>.pid. */
  home: string;
  /** Folder of the Python environment that holds nats-server and weed. */
  toolsFolder: string;
  /** Variables with which services load the larger packages from a bundle, as on a platform. */
  packages: NodeJS.ProcessEnv;
};

/** A started set of shared servers, held by the process that started it. */
export type TestInfraRun = {
  readonly infra: TestInfra;
  /** Ends everything; throws when a test left processes behind, after ending them too. */
  stop(): Promise<void>;
};

/** Coordinates of the run's servers; throws outside a test run. */
export function testInfra(): TestInfra {
  const json = process.env[TEST_INFRA_VARIABLE];
  if (!json)
    throw new Error(`${TEST_INFRA_VARIABLE} is not set: run tests with \`npm test\` or jest's config`);
  return JSON.parse(json) as TestInfra;
}

/**
 * Starts Postgres, NATS and S3 in a throwaway folder, after removing what a killed run left. Tests need no flush to
 * disk; a bench that measures it says `isDurable`.
 */
export async function startTestInfra({ isDurable = false } = {}): Promise<TestInfraRun> {
  await removeLeftovers();
  const [tools, packages] = await Promise.all([
    ensureEnvironment('tools', environmentsRoot(process.env), process.env),
    moduleBundleVariables(process.execPath, console.warn),
  ]);
  const root = mkdtempSync(join(tmpdir(), `${HOME_PREFIX}${process.pid}-${startTicksOf(process.pid)}-`));
  // The server of Postgres runs as another user when we are root, and must be able to enter.
  chmodSync(root, 0o755);
  const home = openHome(root);
  const plan = await planInfrastructure({
    home,
    toolsFolder: tools.folder,
    env: {},
    isThrowaway: !isDurable,
  });
  const started = await Promise.allSettled(plan.parts.map((part) => part.start()));
  const servers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const stopServers = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(root, { recursive: true, force: true });
  };
  const failure = started.find((result) => result.status === 'rejected');
  if (failure) {
    await stopServers();
    throw failure.reason;
  }
  return {
    infra: { ...plan.coordinates, home: root, toolsFolder: tools.folder, packages },
    stop: () => stopRun(home.pids, servers, stopServers),
  };
}

async function stopRun(
  pids: string,
  servers: readonly ManagedProcess[],
  stopServers: () => Promise<void>,
): Promise<void> {
  const left = [...livePids(pids)].filter(([, id]) => servers.every((server) => server.pid !== id.pid));
  await endProcesses(
    left.map(([, id]) => id),
    0,
  );
  await stopServers();
  const names = left.map(([name]) => name).join(', ');
  if (names) throw new Error(`tests left processes running, stop them in afterAll: ${names}`);
}

/** Ends the servers of runs whose process is gone and removes their folders. */
export async function removeLeftovers(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const match = /^millrace-test-(\d+)-(\d+)-/.exec(name);
    if (!match || startTicksOf(Number(match[1])) === Number(match[2])) continue;
    const folder = join(tmpdir(), name);
    await endProcesses([...livePids(join(folder, 'pids')).values()], LEFTOVER_GRACE_MS);
    rmSync(folder, { recursive: true, force: true });
  }
}
