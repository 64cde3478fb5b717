// Plain JavaScript for Node >= 20: it runs before any package is installed.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const NODE_24 = join(ROOT, 'node_modules', 'node', 'bin', 'node');
/** Scripts wait most of the time; without these they hold 100 MB more. */
const SMALL_HEAP = '--max-semi-space-size=2';
const COMPILE_CACHE = join(ROOT, '.millrace', 'cache', 'node');
const MIN_NODE_MAJOR = 20;
const PROBE_TIMEOUT_MS = 15_000;
const PYTHONS = ['python3.12', 'python3.11', 'python3', 'python'];
const PYTHON_PROBE = 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))';
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Ends the run with a message that names the fix. */
export function fail(message) {
  process.stderr.write(`\n${message}\n`);
  process.exit(1);
}

/** Checks what must be there before anything is installed: the system, Node, npm, Python. */
export function checkMachine() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    fail(
      `Millrace runs on Linux x64; this is ${process.platform} ${process.arch}. Use a Linux x64 machine or container.`,
    );
  }
  if (Number(process.versions.node.split('.')[0]) < MIN_NODE_MAJOR) {
    fail(
      `Millrace needs Node ${MIN_NODE_MAJOR} or newer; this is ${process.version}. Install it from https://nodejs.org.`,
    );
  }
  if (!works('npm', ['--version']))
    fail('npm was not found. Install it: it comes with Node (https://nodejs.org).');
  const pythons = process.env.MILLRACE_PYTHON ? [process.env.MILLRACE_PYTHON] : PYTHONS;
  if (!pythons.some((python) => works(python, ['-c', PYTHON_PROBE]))) {
    fail(
      `Millrace needs Python 3.11 or 3.12 with its venv module; tried ${pythons.join(', ')}.\n` +
        'Install it (Debian, Ubuntu: apt install python3.11 python3.11-venv), or set MILLRACE_PYTHON to its path.',
    );
  }
}

function works(command, args) {
  return spawnSync(command, args, { stdio: 'ignore', timeout: PROBE_TIMEOUT_MS }).status === 0;
}

/** Runs `npm ci` when node_modules is missing or differs from the lock; says how long it took. */
export function ensureNodeModules() {
  if (isInstalled()) return;
  const start = performance.now();
  process.stdout.write('npm ci: installing the packages of package-lock.json ...\n');
  const quiet = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const result = spawnSync('npm', quiet, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (result.status !== 0) fail('npm ci failed; its message is above.');
  process.stdout.write(`npm ci: done in ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
}

/** Whether what npm recorded as installed is what the lock asks for. */
function isInstalled() {
  const wanted = packagesOf(join(ROOT, 'package-lock.json'));
  const present = packagesOf(join(ROOT, 'node_modules', '.package-lock.json'));
  if (!wanted || !present || !existsSync(NODE_24)) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith('node_modules/')) return true;
    const found = present[path];
    // Packages for other systems are in the lock and not installed.
    if (!found) return entry.optional === true || entry.peer === true || entry.devOptional === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return null;
  }
}

/** Hands over to a TypeScript script on Node 24 and ends with its status. */
export function continueOnNode24(script, args) {
  const child = spawn(NODE_24, [SMALL_HEAP, join(ROOT, 'scripts', script), ...args], {
    stdio: 'inherit',
    cwd: ROOT,
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE },
  });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  child.once('error', (error) => fail(`cannot run ${NODE_24}: ${error.message}. Run \`npm ci\`.`));
  child.once('exit', (code, signal) => process.exit(signal ? 1 : code));
}
