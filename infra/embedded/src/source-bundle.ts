import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleAt } from './bundle-cache.ts';
import { REPOSITORY_ROOT } from './home.ts';

const MAKER = fileURLToPath(new URL('./source-bundle-maker.ts', import.meta.url));
const CACHE = join(REPOSITORY_ROOT, 'node_modules', '.cache', 'millrace', 'sources');
/** Bundles of older sources that stay for platforms which still run from them. */
const KEPT = 6;
/** Folder with the bundle, for the hook. */
const FOLDER_VARIABLE = 'MILLRACE_SOURCE_BUNDLE';

/** The files that processes are started with whose start is waited for: the inference service, a front, a model host. */
export const BUNDLED_ENTRIES = [
  'services/inference/src/main.ts',
  'services/inference/src/fronts/front-main.ts',
  'services/inference/src/engine/host-main.ts',
] as const;

/** Every folder whose files a bundle may be made of: the service and all libraries. */
function sourceFolders(root: string): string[] {
  const libraries = readdirSync(join(root, 'libs')).map((name) => join('libs', name));
  const isNode = (folder: string): boolean => existsSync(join(root, folder, 'package.json'));
  return [...libraries.filter(isNode).sort(), join('services', 'inference')];
}

/** The sources of `root`, by their paths there, in order. */
export function bundledSources(root = REPOSITORY_ROOT): string[] {
  return sourceFolders(root).flatMap((folder) => {
    const names = readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' });
    const sources = names.filter((name) => name.endsWith('.ts')).map((name) => join(folder, 'src', name));
    return [join(folder, 'package.json'), ...sources.sort()];
  });
}

/**
 * What a bundle stands for: every byte of the sources, the packages, Node, where they lie (modules know their own place)
 * and how the bundle is made. A bundle is only ever run under the key of the sources that lie there now.
 */
export function sourceKey(root = REPOSITORY_ROOT): string {
  const hash = createHash('sha256').update(`${process.versions.node}\n${root}\n`);
  for (const file of [
    join(root, 'package-lock.json'),
    MAKER,
    ...bundledSources(root).map((path) => join(root, path)),
  ]) {
    const bytes = readFileSync(file);
    hash.update(`${relative(root, file)} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * Variables with which the processes of the inference service run their own sources from a bundle as well, which halves
 * the time that a process takes to read them (docs/adr/0021). Makes the bundle where there is none of these very
 * sources. Without one (its making failed, and `onNotice` was told) they run from the sources themselves.
 */
export async function sourceBundleVariables(
  node: string,
  onNotice: (notice: string) => void,
  { cache = CACHE, root = REPOSITORY_ROOT }: { cache?: string; root?: string } = {},
): Promise<NodeJS.ProcessEnv> {
  try {
    const key = sourceKey(root);
    const check = (): void => {
      if (sourceKey(root) !== key) throw new Error('a source changed while it was made');
    };
    const folder = await bundleAt(cache, key, { node, command: [MAKER, root], kept: KEPT, check });
    return { [FOLDER_VARIABLE]: folder };
  } catch (error) {
    onNotice(
      `inference runs file by file, the bundle of its sources could not be made: ${(error as Error).message}`,
    );
    return {};
  }
}
