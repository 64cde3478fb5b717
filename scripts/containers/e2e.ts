import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, LaunchError } from '@millrace/embedded';
import { duration } from '../lib/format.ts';
import type { Reporter } from '../lib/reporter.ts';
import { runMainJob } from '../quickstart-job.ts';
import { type ContainerState, createDeployment, type Deployment } from './deployment.ts';
import type { Engine } from './engine.ts';

/** The quick size of `npm run quickstart`. */
const SIZE = { epochs: 5, samples: 500, seed: 42 };
const USER = '10001';
/** Ended from outside and not by themselves, which they do on purpose: data of theirs is journaled. */
const MAY_BE_KILLED = new Set(['s3']);

/** What a run of the main job in containers needs. */
export type EndToEndOptions = {
  engine: Engine;
  reporter: Reporter;
  prefix: string;
  tag: string;
  /** Leave everything running at the end. */
  isKept: boolean;
  signal: AbortSignal;
};

/**
 * Starts infra/compose.yaml on free ports, carries one model through it from outside, checks how its containers are
 * confined and that they end cleanly, and removes them with their volumes. Throws what went wrong, in a sentence.
 */
export async function runEndToEnd(options: EndToEndOptions): Promise<void> {
  const { engine, reporter, signal } = options;
  const project = `millrace-e2e-${process.pid}`;
  const s3Port = await freePort();
  const deployment = createDeployment(engine, project, {
    MILLRACE_BIND: '127.0.0.1',
    MILLRACE_GATEWAY_PORT: String(await freePort()),
    MILLRACE_INFERENCE_PORT: String(await freePort()),
    MILLRACE_GRPC_PORT: String(await freePort()),
    MILLRACE_S3_PORT: String(s3Port),
    MILLRACE_S3_PUBLIC_ENDPOINT: `http://127.0.0.1:${s3Port}`,
    MILLRACE_IMAGE_PREFIX: options.prefix,
    MILLRACE_IMAGE_TAG: options.tag,
  });
  try {
    await carryOneModel(deployment, options);
    await timed(reporter, 'confined', () => checkConfinement(deployment, engine));
    if (options.isKept) return reporter.line(`  ${deployment.gateway} stays up as project ${project}.`);
    await timed(reporter, 'stopped', () => checkStop(deployment));
  } catch (error) {
    await writeLogs(engine, deployment, reporter);
    throw error;
  } finally {
    if (!options.isKept) await deployment.down(true);
  }
  reporter.line('  Containers, network and volumes are removed; the images stay.');
  signal.throwIfAborted();
}

async function carryOneModel(deployment: Deployment, options: EndToEndOptions): Promise<void> {
  const { reporter, signal } = options;
  await timed(reporter, 'up', () => deployment.up(signal));
  const { gateway } = deployment;
  const refused = await fetch(`${gateway}/v1/models`, { signal });
  if (refused.status !== 401) {
    throw new LaunchError(
      'gateway',
      `answers ${refused.status} to a request without a key; 401 was expected`,
    );
  }
  const connection = { gateway, token: await deployment.token() };
  const summary = await runMainJob({ connection, reporter, signal, ...SIZE });
  reporter.clear();
  reporter.line(`\n${summary}\n`);
}

async function timed(reporter: Reporter, name: string, work: () => Promise<void>): Promise<void> {
  const start = performance.now();
  reporter.progress(name, name);
  await work();
  reporter.part(name, performance.now() - start);
}

/** Every container that runs says that it is healthy, is not root, and cannot write to its image. */
async function checkConfinement(deployment: Deployment, engine: Engine): Promise<void> {
  const faults: string[] = [];
  for (const [name, { id, status }] of await deployment.states()) {
    if (name === 'setup') continue;
    if (status !== 'running') {
      faults.push(`${name} is ${status}`);
      continue;
    }
    const format = '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}}';
    const told = (await engine.run(['inspect', '--type', 'container', '--format', format, id])).trim();
    if (told !== `${USER}:${USER} true`) faults.push(`${name} runs as '${told}'`);
    const isWritable = await deployment.exec(name, ['touch', '/etc/written']).then(
      () => true,
      () => false,
    );
    if (isWritable) faults.push(`${name} can write to its image`);
    await isHealthy(engine, id).catch((error: Error) => faults.push(`${name}: ${error.message}`));
  }
  if (faults.length > 0) throw new LaunchError('containers', faults.join('; '));
}

/** Podman without systemd runs health checks only when asked; Docker tells what its last one said. */
async function isHealthy(engine: Engine, id: string): Promise<void> {
  if (engine.kind === 'podman') {
    await engine.run(['healthcheck', 'run', id]);
    return;
  }
  const health = (await engine.run(['inspect', '--format', '{{.State.Health.Status}}', id])).trim();
  if (health !== 'healthy') throw new LaunchError('health', `it is ${health}`);
}

async function checkStop(deployment: Deployment): Promise<void> {
  await deployment.stop();
  const isClean = (name: string, { status, exitCode }: ContainerState): boolean =>
    (status === 'exited' || status === 'stopped') && (exitCode === 0 || MAY_BE_KILLED.has(name));
  const unclean = [...(await deployment.states())].filter(([name, state]) => !isClean(name, state));
  if (unclean.length === 0) return;
  const told = unclean.map(([name, { status, exitCode }]) => `${name} ${status} with ${exitCode}`).join(', ');
  throw new LaunchError('stop', `these did not end cleanly: ${told}`);
}

async function writeLogs(engine: Engine, deployment: Deployment, reporter: Reporter): Promise<void> {
  const folder = join(engine.folder, 'logs', 'e2e');
  await rm(folder, { recursive: true, force: true });
  for (const [name, { id }] of await deployment.states().catch(() => new Map<string, ContainerState>())) {
    const logFile = join(folder, `${name}.log`);
    await engine.run(['logs', id], { logFile }).catch(() => undefined);
  }
  reporter.line(`  logs of all containers: ${folder} (${duration(performance.now())})`);
}
