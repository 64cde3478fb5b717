import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { SourceMapPayload } from 'node:module';
import { SourceMap } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from 'esbuild';
import { build } from 'esbuild';
import { BUNDLE_INDEX, LINE_BYTES, LINES_SUFFIX, SOURCES_SUFFIX } from './module-bundle-hook.ts';
import { BUNDLED_ENTRIES, bundledSources } from './source-bundle.ts';

/**
 * Packages that are read from their own folders: pino finds files of its own by path, pg-native is optional, TensorFlow.js
 * is loaded by hosts of such models only.
 */
const EXTERNAL = ['pino', 'pg-native', '@tensorflow/*'];
/** esbuild's output has no `require` of its own for what is external and for built-in modules. */
const BANNER = `import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);`;

const ADDRESS = 'import.meta.url';
/** The largest number that the lines of a file are told with. */
const NUMBER_MAX = 0xffff;

/** A pattern that fits this text alone. */
const exactly = (text: string): RegExp => new RegExp(`^${text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);

const nameOf = (entry: string): string => entry.replaceAll('/', '__').replace(/\.ts$/, '');

/**
 * Modules know where they are: they start others, read migrations and load native libraries by paths from their own. In
 * the bundle each that asks still has the address of its source.
 */
function ownAddresses(root: string): Plugin {
  const asking = bundledSources(root)
    .map((path) => join(root, path))
    .filter((path) => path.endsWith('.ts') && readFileSync(path, 'utf8').includes(ADDRESS));
  return {
    name: 'own-addresses',
    setup(api) {
      for (const path of asking) {
        api.onLoad({ filter: exactly(path) }, () => ({
          loader: 'ts',
          contents: readFileSync(path, 'utf8').replaceAll(ADDRESS, JSON.stringify(pathToFileURL(path).href)),
        }));
      }
    },
  };
}

/** Replaces the source map of a file by what stacks need: which source, and which line there, each line comes from. */
function writeLines(file: string): void {
  const map = JSON.parse(readFileSync(`${file}.map`, 'utf8')) as SourceMapPayload;
  rmSync(`${file}.map`);
  const sources = map.sources.map((path) => new URL(path, pathToFileURL(file)).href);
  const numbers = new Map(map.sources.map((path, number) => [path, number]));
  const places = new SourceMap(map);
  const lines = readFileSync(file, 'utf8').split('\n');
  const bytes = Buffer.alloc(lines.length * LINE_BYTES);
  for (const [i, text] of lines.entries()) {
    const place = places.findEntry(i, text.length - text.trimStart().length);
    // what has no place of its own is told that of a line before
    if (!('originalSource' in place) || place.generatedLine !== i) continue;
    const [source, line] = [numbers.get(place.originalSource) ?? NUMBER_MAX, place.originalLine + 1];
    if (source >= NUMBER_MAX || line > NUMBER_MAX) continue;
    bytes.writeUInt16LE(source, i * LINE_BYTES);
    bytes.writeUInt16LE(line, i * LINE_BYTES + 2);
  }
  writeFileSync(file + LINES_SUFFIX, bytes);
  writeFileSync(file + SOURCES_SUFFIX, JSON.stringify(sources));
}

/** Bundles the entries with all that they import into `folder`. Throws where that is made of a file that no key covers. */
async function makeBundle(root: string, folder: string): Promise<void> {
  const { metafile } = await build({
    entryPoints: BUNDLED_ENTRIES.map((entry) => ({ in: join(root, entry), out: nameOf(entry) })),
    outdir: folder,
    absWorkingDir: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: `node${process.versions.node}`,
    external: EXTERNAL,
    banner: { js: BANNER },
    sourcemap: 'external',
    sourcesContent: false,
    metafile: true,
    legalComments: 'none',
    logLevel: 'error',
    plugins: [ownAddresses(root)],
  });
  const covered = new Set(bundledSources(root));
  const isCovered = (path: string): boolean => path.split('/').includes('node_modules') || covered.has(path);
  const others = Object.keys(metafile.inputs).filter((path) => !isCovered(path));
  if (others.length > 0) throw new Error(`the key of the bundle does not cover ${others.join(', ')}`);
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.mjs')))
    writeLines(join(folder, name));
  const index = BUNDLED_ENTRIES.map((entry) => [
    pathToFileURL(join(root, entry)).href,
    `${nameOf(entry)}.mjs`,
  ]);
  writeFileSync(join(folder, BUNDLE_INDEX), JSON.stringify(Object.fromEntries(index)));
}

const [root, folder] = process.argv.slice(2);
if (root === undefined || folder === undefined) throw new Error('usage: source-bundle-maker.ts ROOT FOLDER');
await makeBundle(resolve(root), resolve(folder));
