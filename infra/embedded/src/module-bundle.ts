import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleAt } from './bundle-cache.ts';
import { REPOSITORY_ROOT } from './home.ts';

const MAKER = fileURLToPath(new URL('./module-bundle-maker.ts', import.meta.url));
const HOOK = new URL('./module-bundle-hook.ts', import.meta.url);
/** Kept with the packages it is made of: `npm ci` removes both. */
const CACHE = join(REPOSITORY_ROOT, 'node_modules', '.cache', 'millrace', 'modules');
/** Bundles that stay: platforms and tests that still run load packages from one of an older lock. */
const KEPT = 3;
/** Folder with the bundle, for the hook. */
const FOLDER_VARIABLE = 'MILLRACE_MODULE_BUNDLE';

/** The bundle for the packages that are installed now: its key changes with them, with Node and with how it is made. */
function packagesKey(): string {
  const hash = createHash('sha256').update(process.versions.node);
  for (const file of [join(REPOSITORY_ROOT, 'package-lock.json'), MAKER]) hash.update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
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
  try {
    const folder = await bundleAt(cache, packagesKey(), { node, command: [MAKER], kept: KEPT });
    return { [FOLDER_VARIABLE]: folder, NODE_OPTIONS: `--import ${HOOK.href}` };
  } catch (error) {
    onNotice(`packages are loaded file by file, their bundle could not be made: ${(error as Error).message}`);
    return {};
  }
}
