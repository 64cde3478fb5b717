import { cpSync, existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findPython, LaunchError, nodeBinary, REPOSITORY_ROOT } from '@millrace/embedded';
import { hasCpuWheel } from '../../infra/embedded/src/cpu-wheels.ts';
import type { Engine } from './engine.ts';
import { findProgram } from './machine.ts';
import { runCommand } from './run-command.ts';

/** The release of Debian that images stand on. */
const SUITE = 'bookworm';
const BASE = `localhost/millrace-base:${SUITE}`;
const BUILD = 'localhost/millrace-build:node24';
const WHEELS = 'localhost/millrace-wheels:local';
const BOOTSTRAP_TIMEOUT_MS = 10 * 60_000;
const IMPORT_TIMEOUT_MS = 5 * 60_000;
/** What a base holds that is of the machine it was made on, or can be fetched again. */
const NOT_IN_BASE = [
  'var/cache/apt',
  'var/lib/apt/lists',
  'var/log',
  'var/cache/ldconfig',
  'var/cache/debconf',
];

/** Images that others are built from; where one is not named the Dockerfile's own is taken. */
export type Bases = { base?: string | undefined; build?: string | undefined };

/**
 * The base images that the user named; else with Podman ones made here: Debian by debootstrap, and this machine's Node
 * and npm on it.
 */
export async function ensureBases(engine: Engine, named: Bases): Promise<Bases> {
  if (engine.kind === 'docker') return named;
  const base = named.base ?? (await ensureBase(engine));
  return { base, build: named.build ?? (await ensureBuildImage(engine, base)) };
}

async function exists(engine: Engine, image: string): Promise<boolean> {
  return engine.run(['image', 'inspect', '--format', '{{.Id}}', image]).then(
    () => true,
    () => false,
  );
}

async function ensureBase(engine: Engine): Promise<string> {
  if (await exists(engine, BASE)) return BASE;
  const root = join(engine.folder, 'rootfs');
  const archive = `${root}.tar`;
  const logFile = join(engine.folder, 'logs', 'base.log');
  const tool = { part: 'base image', env: process.env, timeoutMs: BOOTSTRAP_TIMEOUT_MS, logFile };
  rmSync(root, { recursive: true, force: true });
  try {
    await runCommand({ ...tool, command: 'debootstrap', args: ['--variant=minbase', SUITE, root] });
    for (const folder of NOT_IN_BASE) {
      rmSync(join(root, folder), { recursive: true, force: true });
      mkdirSync(join(root, folder), { recursive: true });
    }
    const archived = ['--create', '--file', archive, '--sort=name', '--mtime=@0', '--numeric-owner'];
    await runCommand({ ...tool, command: 'tar', args: [...archived, '--directory', root, '.'] });
    await engine.run(['import', archive, BASE], { timeoutMs: IMPORT_TIMEOUT_MS });
  } finally {
    rmSync(root, { recursive: true, force: true });
    rmSync(archive, { force: true });
  }
  return BASE;
}

/** This machine's Node and npm on the base; only stages of a build run it. */
async function ensureBuildImage(engine: Engine, base: string): Promise<string> {
  const context = join(engine.folder, 'build-image');
  // npm is a link to bin/npm-cli.js in its own folder
  const program = findProgram('npm', process.env);
  const npm = program === undefined ? '' : dirname(dirname(realpathSync(program)));
  if (!existsSync(join(npm, 'bin', 'npm-cli.js')))
    throw new LaunchError('npm', 'was not found; name an image with Node 24 and npm by --build-image');
  rmSync(context, { recursive: true, force: true });
  mkdirSync(context, { recursive: true });
  try {
    cpSync(nodeBinary(), join(context, 'node'));
    cpSync(npm, join(context, 'npm'), { recursive: true, dereference: true });
    await buildFrom(engine, 'build.Dockerfile', context, BUILD, [`BASE_IMAGE=${base}`]);
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
  return BUILD;
}

/** An image with the folder of wheels in which this machine's pip finds the CPU build of PyTorch; null without one. */
export async function ensureWheels(engine: Engine, env: NodeJS.ProcessEnv): Promise<string | null> {
  if (!hasCpuWheel('torch', await findPython(env), env)) return null;
  for (const folder of (env.PIP_FIND_LINKS ?? '').split(/\s+/).filter((one) => existsSync(one)))
    await buildFrom(engine, 'wheels.Dockerfile', folder, WHEELS, []);
  return WHEELS;
}

async function buildFrom(
  engine: Engine,
  dockerfile: string,
  context: string,
  tag: string,
  buildArguments: readonly string[],
): Promise<void> {
  const file = join(REPOSITORY_ROOT, 'deploy', 'docker', dockerfile);
  const isolation = engine.kind === 'podman' ? ['--isolation', 'chroot', '--layers', '--pull=never'] : [];
  const given = buildArguments.flatMap((argument) => ['--build-arg', argument]);
  const args = ['build', ...isolation, '--file', file, ...given, '--tag', tag, context];
  const logFile = join(engine.folder, 'logs', `${dockerfile}.log`);
  await engine.run(args, { timeoutMs: IMPORT_TIMEOUT_MS, logFile });
}
