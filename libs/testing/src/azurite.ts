import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { environmentsRoot } from '@millrace/embedded';

/** Its own lock: three hundred packages that nobody but these tests needs stay out of everybody's `npm ci`. */
const MANIFESTS = fileURLToPath(new URL('../azurite', import.meta.url));
const INSTALL_TIMEOUT_MS = 300_000;
const READY_TIMEOUT_MS = 60_000;
const ACCOUNT = 'millracetest';

/** A blob store of Azure's protocol, empty and in memory. */
export type Azurite = {
  /** As Azure's clients take it. */
  readonly connectionString: string;
  stop(): Promise<void>;
};

/** Starts Azurite on a free port with an account of its own; installs it on first use (half a minute, from npm). */
export async function startAzurite(): Promise<Azurite> {
  const folder = await installed();
  const key = randomBytes(64).toString('base64');
  const program = join(folder, 'node_modules', 'azurite', 'dist', 'src', 'blob', 'main.js');
  const place = ['--blobHost', '127.0.0.1', '--blobPort', '0', '--inMemoryPersistence'];
  // newer clients speak newer versions of the protocol than it was made for
  const rest = ['--disableTelemetry', '--skipApiVersionCheck', '--silent'];
  const child = spawn(process.execPath, [program, ...place, ...rest], {
    env: { PATH: process.env.PATH, AZURITE_ACCOUNTS: `${ACCOUNT}:${key}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_TIMEOUT_MS);
  for await (const line of createInterface({ input: child.stdout })) {
    const origin = /successfully listens on (http:\S+)/.exec(line)?.[1];
    if (origin === undefined) continue;
    clearTimeout(timer);
    child.stdout.resume();
    const endpoint = `BlobEndpoint=${origin}/${ACCOUNT};`;
    const connectionString = `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${key};${endpoint}`;
    return { connectionString, stop };
  }
  clearTimeout(timer);
  await stop();
  throw new Error('Azurite ended, or did not listen within a minute.');
}

/** The folder that holds exactly what the lock says. */
async function installed(): Promise<string> {
  const lock = readFileSync(join(MANIFESTS, 'package-lock.json'));
  const digest = createHash('sha256').update(lock).digest('hex').slice(0, 16);
  const root = environmentsRoot(process.env);
  const folder = join(root, `azurite-${digest}`);
  if (existsSync(folder)) return folder;
  mkdirSync(root, { recursive: true });
  const draft = mkdtempSync(join(root, 'azurite-draft-'));
  try {
    cpSync(MANIFESTS, draft, { recursive: true, filter: (path) => !path.includes('node_modules') });
    await npmCi(draft);
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // another run may have made it meanwhile
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

function npmCi(cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = ['ci', '--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund'];
    const child = spawn('npm', args, {
      cwd,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: INSTALL_TIMEOUT_MS,
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2_000);
    });
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`Azurite could not be installed:\n${said}`)),
    );
  });
}
