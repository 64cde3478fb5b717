import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CpuBuild, hasCpuWheel } from './cpu-wheels.ts';
import { withFolderLock } from './folder-lock.ts';
import { folderSize } from './folder-size.ts';
import { REPOSITORY_ROOT } from './home.ts';
import { LaunchError } from './launch-error.ts';
import { logTail } from './process.ts';
import { findPython, type Python } from './python.ts';

/** Changes when the way an environment is made changes, so that old ones are made anew. */
const LAYOUT = 1;
const INSTALL_TIMEOUT_MS = 20 * 60_000;

/** The environments there are and the lock each is made from; each is whole in itself and shares nothing. */
export const ENVIRONMENTS = {
  tools: 'infra/embedded/requirements.txt',
  dev: 'infra/embedded/requirements-dev.txt',
  kubernetes: 'infra/embedded/requirements-kubernetes.txt',
  containers: 'deploy/docker/requirements.txt',
  'clients-triton': 'infra/embedded/requirements-clients-triton.txt',
  'clients-kserve': 'infra/embedded/requirements-clients-kserve.txt',
  'clients-mlflow2': 'infra/embedded/requirements-clients-mlflow2.txt',
  'clients-mlflow3': 'infra/embedded/requirements-clients-mlflow3.txt',
  'clients-mlflow2-server': 'infra/embedded/requirements-clients-mlflow2-server.txt',
  'clients-mlflow-keras': 'infra/embedded/requirements-clients-mlflow-keras.txt',
  'clients-mlflow-torch': 'infra/embedded/requirements-clients-mlflow-torch.txt',
  training: 'services/training-worker/requirements.txt',
  notebook: 'services/training-worker/requirements-notebook.txt',
  'training-gpu': 'services/training-worker/requirements-gpu.txt',
  torch: 'services/training-worker/requirements-torch.txt',
  analysis: 'services/analysis-worker/requirements.txt',
  conversion: 'services/conversion-worker/requirements.txt',
  'peer-bentoml': 'tests/load/peers/requirements-bentoml.txt',
  'peer-fastapi': 'tests/load/peers/requirements-fastapi.txt',
  'peer-kserve': 'tests/load/peers/requirements-kserve.txt',
  'peer-litserve': 'tests/load/peers/requirements-litserve.txt',
  'peer-mlserver': 'tests/load/peers/requirements-mlserver.txt',
  'peer-ray': 'tests/load/peers/requirements-ray.txt',
} as const;

/** Environments with a smaller lock for machines that have the package's own CPU build on disk. */
const CPU_BUILDS: Partial<Record<string, CpuBuild>> = {
  torch: { wheel: 'torch', lock: 'services/training-worker/requirements-torch-cpu.txt' },
  'clients-mlflow-torch': {
    wheel: 'torch',
    lock: 'infra/embedded/requirements-clients-mlflow-torch-cpu.txt',
  },
};

/** Name of a Python environment. */
export type EnvironmentName = keyof typeof ENVIRONMENTS;

/** A ready environment. */
export type Environment = {
  name: EnvironmentName;
  folder: string;
  /** Its interpreter. */
  python: string;
  /** sha256 over the lock, the Python version and the layout; two equal digests mean equal packages. */
  digest: string;
  sizeBytes: number;
  /** How long making it took; 0 when it was there. */
  elapsedMs: number;
};

type Stamp = { digest: string; sizeBytes: number };

/**
 * Makes sure that an environment holds exactly what its lock says; instant when nothing changed. Every package is
 * checked against its hash. `root` is the folder of all environments; throws a LaunchError that names the log.
 */
export async function ensureEnvironment(
  name: EnvironmentName,
  root: string,
  env: NodeJS.ProcessEnv,
): Promise<Environment> {
  const folder = join(root, name);
  const python = await pythonOf(root, env);
  const cpu = CPU_BUILDS[name];
  const lock = cpu && hasCpuWheel(cpu.wheel, python, env) ? cpu.lock : ENVIRONMENTS[name];
  const requirements = join(REPOSITORY_ROOT, lock);
  const digest = digestOf(readLock(name, requirements), python);
  const ready = (elapsedMs: number): Environment | null => {
    const stamp = readStamp(folder);
    if (stamp?.digest !== digest) return null;
    return { name, folder, python: join(folder, 'bin', 'python'), elapsedMs, ...stamp };
  };
  const present = ready(0);
  if (present) return present;
  if (name !== 'tools') await ensureEnvironment('tools', root, env);
  mkdirSync(root, { recursive: true });
  return withFolderLock(join(root, `${name}.lock`), async () => {
    const madeMeanwhile = ready(0);
    if (madeMeanwhile) return madeMeanwhile;
    const start = performance.now();
    await build(name, { folder, requirements, python, root, env });
    writeStamp(folder, { digest, sizeBytes: folderSize(folder) });
    const made = ready(performance.now() - start);
    if (!made) throw new LaunchError(name, `${folder} could not be stamped`);
    return made;
  });
}

type BuildInput = {
  folder: string;
  requirements: string;
  python: Python;
  root: string;
  env: NodeJS.ProcessEnv;
};

async function build(name: EnvironmentName, input: BuildInput): Promise<void> {
  const { folder, requirements, python, root, env } = input;
  const logFile = join(root, `${name}.log`);
  rmSync(folder, { recursive: true, force: true });
  rmSync(logFile, { force: true });
  const inside = join(folder, 'bin', 'python');
  if (name === 'tools') {
    await install(name, python.executable, ['-m', 'venv', folder], env, logFile);
    const flags = ['--disable-pip-version-check', '--no-input', '--require-hashes', '--only-binary', ':all:'];
    await install(name, inside, ['-m', 'pip', 'install', ...flags, '-r', requirements], env, logFile);
    return;
  }
  const uv = join(root, 'tools', 'bin', 'uv');
  const uvEnv = uvEnvironment(env);
  await install(name, uv, ['venv', '--no-project', '--python', python.executable, folder], uvEnv, logFile);
  const sync = ['pip', 'sync', '--require-hashes', '--python', inside, requirements];
  await install(name, uv, sync, uvEnv, logFile);
}

/** What uv needs to find packages where pip on this machine finds them; uv reads none of pip's settings itself. */
export function uvEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const uv: NodeJS.ProcessEnv = { ...env, UV_NO_PROGRESS: '1', UV_PYTHON_DOWNLOADS: 'never' };
  delete uv.VIRTUAL_ENV;
  if (env.PIP_FIND_LINKS && !env.UV_FIND_LINKS)
    uv.UV_FIND_LINKS = env.PIP_FIND_LINKS.trim().replaceAll(/\s+/g, ',');
  if (env.PIP_INDEX_URL && !env.UV_DEFAULT_INDEX) uv.UV_DEFAULT_INDEX = env.PIP_INDEX_URL;
  if (env.PIP_CERT && !env.SSL_CERT_FILE) uv.SSL_CERT_FILE = env.PIP_CERT;
  return uv;
}

function install(
  name: EnvironmentName,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  logFile: string,
): Promise<void> {
  const log = createWriteStream(logFile, { flags: 'a' });
  log.write(`$ ${command} ${args.join(' ')}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: INSTALL_TIMEOUT_MS,
    });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.once('error', (cause) =>
      reject(new LaunchError(`environment ${name}`, cause.message, { cause, logFile })),
    );
    child.once('close', (code) => {
      log.end(() => {
        if (code === 0) resolve();
        else
          reject(
            new LaunchError(`environment ${name}`, `installing failed:\n${logTail(logFile)}\n`, { logFile }),
          );
      });
    });
  });
}

const pythons = new Map<string, Promise<Python>>();

/** One search a process: running five candidates costs a second. */
function pythonOf(root: string, env: NodeJS.ProcessEnv): Promise<Python> {
  const key = `${root} ${env.MILLRACE_PYTHON ?? ''} ${env.PATH ?? ''}`;
  let search = pythons.get(key);
  if (search === undefined) {
    search = findPython(env);
    pythons.set(key, search);
  }
  return search;
}

function readLock(name: EnvironmentName, requirements: string): string {
  if (!existsSync(requirements)) throw new LaunchError(`environment ${name}`, `${requirements} is missing`);
  return readFileSync(requirements, 'utf8');
}

function digestOf(lock: string, python: Python): string {
  return createHash('sha256')
    .update(`${LAYOUT}\n${python.version}\n${python.executable}\n${lock}`)
    .digest('hex');
}

function stampFile(folder: string): string {
  return join(folder, '.millrace-stamp.json');
}

function readStamp(folder: string): Stamp | null {
  try {
    return JSON.parse(readFileSync(stampFile(folder), 'utf8')) as Stamp;
  } catch {
    return null;
  }
}

function writeStamp(folder: string, stamp: Stamp): void {
  const draft = `${stampFile(folder)}.draft`;
  writeFileSync(draft, `${JSON.stringify(stamp)}\n`);
  renameSync(draft, stampFile(folder));
}
