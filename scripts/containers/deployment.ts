import { setTimeout as sleep } from 'node:timers/promises';
import { LaunchError } from '@millrace/embedded';
import type { Engine } from './engine.ts';

/** Everything of infra/compose.yaml starts and the gateway is ready within this on two shared cores. */
const READY_TIMEOUT_MS = 5 * 60_000;
const UP_TIMEOUT_MS = 10 * 60_000;
const DOWN_TIMEOUT_MS = 3 * 60_000;
const PROBE_TIMEOUT_MS = 3_000;
const POLL_MS = 500;

/** Variables of infra/compose.yaml that are passed on to it. */
const COMPOSE_VARIABLES = [
  'MILLRACE_BIND',
  'MILLRACE_GATEWAY_PORT',
  'MILLRACE_INFERENCE_PORT',
  'MILLRACE_GRPC_PORT',
  'MILLRACE_S3_PORT',
  'MILLRACE_S3_PUBLIC_ENDPOINT',
  'MILLRACE_IMAGE_PREFIX',
  'MILLRACE_IMAGE_TAG',
  'MILLRACE_LOG_LEVEL',
  'MILLRACE_OTLP_ENDPOINT',
] as const;

/** Settings of infra/compose.yaml. */
export type ComposeSettings = Partial<Record<(typeof COMPOSE_VARIABLES)[number], string>>;

/** What runs as one project of compose. */
export type Deployment = {
  /** Origin of its gateway on this machine. */
  readonly gateway: string;
  /** Starts what does not run; resolves when the gateway and all services behind it are ready. */
  up(signal: AbortSignal): Promise<void>;
  /** The first admin key. */
  token(): Promise<string>;
  /** Runs a program in a container and gives what it prints. */
  exec(container: string, command: readonly string[]): Promise<string>;
  /** Ends all containers as their images ask. */
  stop(): Promise<void>;
  /** Removes containers and network; with `isDataToo` the volumes as well. */
  down(isDataToo: boolean): Promise<void>;
  /** State and exit status of each container, by its name in infra/compose.yaml. */
  states(): Promise<Map<string, ContainerState>>;
};

/** State of a container as the engine tells it. */
export type ContainerState = { id: string; status: string; exitCode: number };

/** A project of infra/compose.yaml with these settings; the environment fills what they leave open. */
export function createDeployment(engine: Engine, project: string, settings: ComposeSettings): Deployment {
  const env = { ...settings } as NodeJS.ProcessEnv;
  for (const name of COMPOSE_VARIABLES) env[name] ??= process.env[name];
  const gateway = `http://127.0.0.1:${env.MILLRACE_GATEWAY_PORT ?? '9926'}`;
  const compose = (args: readonly string[], timeoutMs = DOWN_TIMEOUT_MS): Promise<string> =>
    engine.compose(project, args, { env, timeoutMs });
  const readToken = async (): Promise<string> =>
    (await compose(['exec', '-T', 'gateway', 'cat', '/run/millrace/token'])).trim();
  return {
    gateway,
    async up(signal) {
      await engine.compose(project, ['up', '--detach', '--no-build'], {
        env,
        timeoutMs: UP_TIMEOUT_MS,
        signal,
      });
      await waitUntilReady(gateway, readToken, signal);
    },
    token: readToken,
    exec: (container, command) => compose(['exec', '-T', container, ...command]),
    async stop() {
      await compose(['stop']);
    },
    async down(isDataToo) {
      await compose(['down', ...(isDataToo ? ['--volumes'] : [])]);
    },
    states: () => statesOf(engine, project),
  };
}

/** What an address of the gateway answers; `state` is that of its JSON, if it has one. */
type Answer = { isOk: boolean; state: string | undefined; said: string };

async function ask(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
  const probe = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
  try {
    const response = await fetch(url, { signal: probe, headers });
    const said = await response.text();
    const { state } = JSON.parse(said) as { state?: string };
    return { isOk: response.ok, state, said };
  } catch (error) {
    return { isOk: false, state: undefined, said: (error as Error).message };
  }
}

/** Waits until the gateway is ready, and then until it says that all others are: it asks each of them. */
async function waitUntilReady(
  gateway: string,
  readToken: () => Promise<string>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let answer: Answer | null = null;
  let headers: Record<string, string> | null = null;
  while (performance.now() < deadline) {
    if (headers === null) {
      answer = await ask(`${gateway}/health/ready`, {}, signal);
      if (answer.isOk) headers = { authorization: `Bearer ${await readToken()}` };
    } else {
      answer = await ask(`${gateway}/v1/status`, headers, signal);
      if (answer.isOk && answer.state === 'ready') return;
    }
    await sleep(POLL_MS, undefined, { signal });
  }
  throw new LaunchError('gateway', `${gateway} is not ready after 5 minutes; it said: ${answer?.said}`);
}

/** Both compose programs put the project and the name of the service into labels. */
async function statesOf(engine: Engine, project: string): Promise<Map<string, ContainerState>> {
  const filter = `label=com.docker.compose.project=${project}`;
  const ids = (await engine.run(['ps', '--all', '--quiet', '--filter', filter])).split('\n').filter(Boolean);
  const states = new Map<string, ContainerState>();
  if (ids.length === 0) return states;
  const format =
    '{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.Status}} {{.State.ExitCode}}';
  const text = await engine.run(['inspect', '--type', 'container', '--format', format, ...ids]);
  for (const line of text.trim().split('\n')) {
    const [name = '', id = '', status = '', exitCode = ''] = line.split(' ');
    states.set(name, { id, status, exitCode: Number(exitCode) });
  }
  return states;
}
