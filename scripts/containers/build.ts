import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LaunchError, REPOSITORY_ROOT } from '@millrace/embedded';
import { bytes } from '../lib/format.ts';
import type { Reporter } from '../lib/reporter.ts';
import { type Bases, ensureWheels } from './base-image.ts';
import { IMAGES, type Image } from './catalog.ts';
import type { Engine } from './engine.ts';
import { runCommand } from './run-command.ts';

/** PyTorch with its GPU packages takes the longest to fetch and to compile. */
const BUILD_TIMEOUT_MS = 30 * 60_000;
const GIT_TIMEOUT_MS = 10_000;

/** What the images of one build have in common. */
export type BuildOptions = {
  bases: Bases;
  prefix: string;
  tag: string;
  /** A file of certificates, for networks that look into TLS. */
  certificates: string | undefined;
  isCacheUsed: boolean;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
};

/** An image that was built; its size counts the base too. */
export type Built = { image: Image; reference: string; id: string; sizeBytes: number };

/** The images of these names; throws a LaunchError that lists them all for a name that none has. */
export function imagesOf(names: readonly string[]): Image[] {
  return names.map((name) => {
    const found = IMAGES.find((image) => image.name === name);
    if (found !== undefined) return found;
    const known = IMAGES.map((image) => image.name).join(', ');
    throw new LaunchError('containers', `there is no image '${name}'; there are ${known}`);
  });
}

/** Builds images one after the other and reports each with its time and size. */
export async function buildImages(
  engine: Engine,
  images: readonly Image[],
  options: BuildOptions,
  reporter: Reporter,
): Promise<Built[]> {
  const commit = await commitOf(options.env);
  const built: Built[] = [];
  for (const image of images) {
    const start = performance.now();
    reporter.progress(`building ${image.name}`, image.name);
    const reference = `${options.prefix}/${image.name}:${options.tag}`;
    await engine.run([...(await buildArguments(engine, image, options, commit)), '--tag', reference, '.'], {
      timeoutMs: BUILD_TIMEOUT_MS,
      signal: options.signal,
      logFile: join(engine.folder, 'logs', `${image.name}.log`),
    });
    const text = await engine.run(['image', 'inspect', '--format', '{{.Id}} {{.Size}}', reference]);
    const [id = '', size = '0'] = text.trim().split(' ');
    built.push({ image, reference, id, sizeBytes: Number(size) });
    reporter.part(image.name, performance.now() - start, `${bytes(Number(size))}, ${id.slice(-64, -52)}`);
  }
  reporter.clear();
  return built;
}

type Commit = { id: string; time: string };

/** What is built from, for labels, and its time, which all files of the images get unless SOURCE_DATE_EPOCH names one. */
async function commitOf(env: NodeJS.ProcessEnv): Promise<Commit> {
  const args = ['-c', 'safe.directory=*', '-C', REPOSITORY_ROOT, 'log', '-1', '--format=%H %ct'];
  const asked = runCommand({ part: 'git', command: 'git', args, env, timeoutMs: GIT_TIMEOUT_MS });
  const [id = 'unknown', time = '0'] = (await asked.catch(() => 'unknown 0')).trim().split(' ');
  return { id, time: env.SOURCE_DATE_EPOCH ?? time };
}

async function buildArguments(
  engine: Engine,
  image: Image,
  options: BuildOptions,
  commit: Commit,
): Promise<string[]> {
  const { base, build } = options.bases;
  const given = [
    `VERSION=${options.tag}`,
    ...(base === undefined ? [] : [`BASE_IMAGE=${base}`]),
    ...(build === undefined || image.kind === 'worker' ? [] : [`BUILD_IMAGE=${build}`]),
    ...(await torchArguments(engine, image, options.env)),
    ...(engine.kind === 'docker' ? [`SOURCE_DATE_EPOCH=${commit.time}`] : []),
  ];
  const { certificates } = options;
  const podman = ['--format', 'docker', '--isolation', 'chroot', '--layers', '--timestamp', commit.time];
  return [
    'build',
    ...(engine.kind === 'podman'
      ? [...podman, ...(base?.startsWith('localhost/') ? ['--pull=never'] : [])]
      : []),
    ...(options.isCacheUsed ? [] : ['--no-cache']),
    ...(certificates !== undefined && existsSync(certificates)
      ? ['--secret', `id=ca,src=${certificates}`]
      : []),
    ...given.flatMap((argument) => ['--build-arg', argument]),
    '--label',
    `org.opencontainers.image.revision=${commit.id}`,
    '--file',
    image.dockerfile,
    '--target',
    image.name,
  ];
}

/** Where the CPU build of PyTorch lies on disk it is taken, which is a quarter of the other. */
async function torchArguments(engine: Engine, image: Image, env: NodeJS.ProcessEnv): Promise<string[]> {
  if (image.name !== 'training-worker-torch') return [];
  const wheels = await ensureWheels(engine, env);
  return wheels === null ? [] : [`WHEELS_IMAGE=${wheels}`, 'TORCH_LOCK=requirements-torch-cpu.txt'];
}
