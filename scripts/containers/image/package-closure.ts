import { existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

type Manifest = {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional?: boolean }>;
};

/**
 * Folders, relative to `root` and sorted, that make up a package and everything that Node can find from it by its
 * dependencies: packages under node_modules, workspaces where they are, and the links that lead to those. `root` has no
 * symbolic link in its path. Throws when a package that is not optional is not installed.
 */
export function closureOf(root: string, folder: string): string[] {
  const found = new Set<string>();
  const waiting = [join(root, folder)];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found.has(relative(root, next))) continue;
    found.add(relative(root, next));
    for (const [name, isOptional] of dependenciesOf(next)) {
      const place = findPackage(root, next, name);
      if (place === undefined) {
        if (isOptional) continue;
        throw new Error(`${relative(root, next)} needs ${name}, which is not installed.`);
      }
      if (lstatSync(place).isSymbolicLink()) found.add(relative(root, place));
      waiting.push(realpathSync(place));
    }
  }
  return withoutInner([...found].sort());
}

function dependenciesOf(folder: string): Map<string, boolean> {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = manifest;
  const names = new Map<string, boolean>();
  // A peer that nobody asked for is not there, and then not imported either.
  for (const name of Object.keys(peerDependencies)) names.set(name, true);
  for (const name of Object.keys(dependencies)) names.set(name, false);
  for (const name of Object.keys(optionalDependencies)) names.set(name, true);
  return names;
}

/** Where Node finds a package: in the node_modules of the folder or of one above it, up to `root`. */
function findPackage(root: string, folder: string, name: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const place = join(at, 'node_modules', name);
    if (existsSync(join(place, 'package.json'))) return place;
    if (at === root) return undefined;
  }
}

/** Folders without those inside of another package of the list: they are copied with it. */
function withoutInner(folders: readonly string[]): string[] {
  return folders.filter(
    (folder) => !folders.some((other) => other.includes('node_modules') && folder.startsWith(`${other}/`)),
  );
}
