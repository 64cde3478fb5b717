import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { REPOSITORY_ROOT } from './home.ts';

const run = promisify(execFile);
const MAKER = fileURLToPath(new URL('./module-bundle-maker.ts', import.meta.url));
const HOOK = new URL('./module-bundle-hook.ts', import.meta.url);
/** Kept with the packages it is made of: `npm ci` removes both. */
const CACHE = join(REPOSITORY_ROOT, 'node_modules', '.cache', 'millrace', 'modules');
/** A bundle on its way, in the folder of bundles. */
const DRAFT = '.draft-';
/** Folder with the bundle, for the hook. */
const FOLDER_VARIABLE = 'MILLRACE_MODULE_BUNDLE';
/** The bundle is made in about a second; a machine that takes longer than this starts without it. */
const MAKE_TIMEOUT_MS = 60_000;

/** The bundle for the packages that are installed now: its key changes with them, with Node and with how it is made. */
function bundleFolder(cache: string): string {
  const hash = createHash('sha256').update(process.versions.node);
  for (const file of [join(REPOSITORY_ROOT, 'package-lock.json'), MAKER]) hash.update(readFileSync(file));
  return join(cache, hash.digest('hex').slice(0, 16));
}

/**
 * Variables with which a Node process loads the larger packages from a bundle of a few files, instead of from 1,100: it
 * starts in less than half the time and in less memory (docs/adr/0021). Makes the bundle where it is missing. Without
 * one (its making failed, and `onNotice` was told) a process starts all the same, only later.
 */
export async function moduleBundleVariables(
  node: string,
  onNotice: (notice: string) => void,
  cache = CACHE,
): Promise<NodeJS.ProcessEnv> {
  const folder = bundleFolder(cache);
  try {
    if (!existsSync(folder)) await make(node, folder, cache);
  } catch (error) {
    onNotice(`packages are loaded file by file, their bundle could not be made: ${(error as Error).message}`);
    return {};
  }
  return { [FOLDER_VARIABLE]: folder, NODE_OPTIONS: `--import ${HOOK.href}` };
}

async function make(node: string, folder: string, cache: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const draft = mkdtempSync(join(cache, DRAFT));
  try {
    await run(node, ['--no-warnings', MAKER, draft], { timeout: MAKE_TIMEOUT_MS, cwd: REPOSITORY_ROOT });
    const isOld = (name: string): boolean => !name.startsWith(DRAFT) && name !== basename(folder);
    for (const old of readdirSync(cache).filter(isOld))
      rmSync(join(cache, old), { recursive: true, force: true });
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // another process was faster
    if (!existsSync(folder)) throw error;
  }
}
