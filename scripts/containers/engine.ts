import { join } from 'node:path';
import { ensureEnvironment, environmentsRoot, homeRoot, REPOSITORY_ROOT } from '@millrace/embedded';
import { chooseEngine, ensurePodman } from './machine.ts';
import { podmanSettings } from './podman-settings.ts';
import { type Command, runCommand } from './run-command.ts';

const COMPOSE_FILE = join(REPOSITORY_ROOT, 'infra', 'compose.yaml');
const TIMEOUT_MS = 60_000;

type CallOptions = Partial<Pick<Command, 'timeoutMs' | 'logFile' | 'signal' | 'env'>>;

/** Docker or Podman, and how compose files are run with it. */
export type Engine = {
  readonly kind: 'docker' | 'podman';
  /** Folder for logs, and with Podman for all that is built and run. */
  readonly folder: string;
  /** Runs `docker ARGS` or `podman ARGS` and gives what it prints. */
  run(args: readonly string[], options?: CallOptions): Promise<string>;
  /** The same for `docker compose`, with infra/compose.yaml as the project of that name. */
  compose(project: string, args: readonly string[], options?: CallOptions): Promise<string>;
};

/** Finds the engine of this machine; with `isSetUp` what Podman lacks is installed. Throws a LaunchError that tells how. */
export async function openEngine(env: NodeJS.ProcessEnv, isSetUp: boolean): Promise<Engine> {
  const folder = join(homeRoot(env), 'containers');
  const kind = await chooseEngine(env);
  if (kind === 'docker') return createEngine(kind, folder, env, ['docker', 'compose']);
  await ensurePodman(env, isSetUp, join(folder, 'logs', 'setup.log'));
  const root = environmentsRoot(env);
  const { folder: tools } = await ensureEnvironment('containers', root, env);
  const compose = [join(tools, 'bin', 'podman-compose'), '--in-pod=false'];
  return createEngine(kind, folder, { ...env, ...podmanSettings(folder) }, compose);
}

function createEngine(
  kind: Engine['kind'],
  folder: string,
  env: NodeJS.ProcessEnv,
  [program = '', ...leading]: readonly string[],
): Engine {
  const call = (command: string, args: readonly string[], options: CallOptions): Promise<string> =>
    runCommand({
      part: kind,
      command,
      args,
      cwd: REPOSITORY_ROOT,
      timeoutMs: TIMEOUT_MS,
      ...options,
      env: { ...env, ...options.env },
    });
  return {
    kind,
    folder,
    run: (args, options = {}) => call(kind, args, options),
    compose: (project, args, options = {}) =>
      call(program, [...leading, '--file', COMPOSE_FILE, '--project-name', project, ...args], options),
  };
}
