import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { REPOSITORY_ROOT } from './home.ts';

const run = promisify(execFile);
/** A bundle on its way, in the folder of bundles. */
const DRAFT = '.draft-';
/** A bundle is made in a few seconds; a machine that takes longer than this starts without it. */
const MAKE_TIMEOUT_MS = 60_000;

/** How a bundle is made. */
export type BundleMaking = {
  node: string;
  /** A script and its arguments; the folder of the bundle comes last. */
  command: readonly [string, ...string[]];
  /** Bundles that stay: those used last. Platforms that still run may start another process from an older one. */
  kept: number;
  /** Throws where what was made is not what the key says. */
  check?: () => void;
};

/**
 * The folder `key` of `cache`, made where it is missing, and put in place whole. Throws when it cannot be made. The key
 * must stand for everything that the bundle is made of.
 */
export async function bundleAt(
  cache: string,
  key: string,
  { node, command, kept, check }: BundleMaking,
): Promise<string> {
  const folder = join(cache, key);
  if (existsSync(folder)) {
    utimesSync(folder, new Date(), new Date());
    return folder;
  }
  mkdirSync(cache, { recursive: true });
  const draft = mkdtempSync(join(cache, DRAFT));
  try {
    const limits = { timeout: MAKE_TIMEOUT_MS, cwd: REPOSITORY_ROOT };
    await run(node, ['--no-warnings', ...command, draft], limits);
    check?.();
    renameSync(draft, folder);
    prune(cache, kept);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // another process was faster
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Removes all but the `kept` bundles that were used last. */
function prune(cache: string, kept: number): void {
  const bundles = readdirSync(cache)
    .filter((name) => !name.startsWith(DRAFT))
    .map((name) => join(cache, name))
    .map((path) => ({ path, usedAt: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.usedAt - a.usedAt);
  for (const { path } of bundles.slice(kept)) rmSync(path, { recursive: true, force: true });
}
