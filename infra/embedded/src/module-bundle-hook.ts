import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Which file of a bundle stands for which import, as JSON. */
export const BUNDLE_INDEX = 'index.json';

/** Addresses in a bundle by what is imported: names of packages, or addresses of sources. */
function readIndex(folder: string | undefined): Map<string, string> {
  // a bundle that was removed since the launcher named it is done without
  if (folder === undefined || !existsSync(folder)) return new Map();
  const index = JSON.parse(readFileSync(join(folder, BUNDLE_INDEX), 'utf8')) as Record<string, string>;
  const root = pathToFileURL(join(folder, '/')).href;
  return new Map(Object.entries(index).map(([specifier, file]) => [specifier, root + file]));
}

/** A place in a file of the bundle, as a stack names it. */
const PLACE = /(file:\/\/[^\s()]+\.mjs):(\d+):\d+/;

/** Beside a file of the bundle: the sources it is made of, as addresses, in JSON. */
export const SOURCES_SUFFIX = '.sources.json';
/** Beside it: for each of its lines the number of a source and a line there, 16 bits each, little-endian. */
export const LINES_SUFFIX = '.lines';
export const LINE_BYTES = 4;

/** Where line `line` of a file of the bundle was in the sources; undefined for what the bundler added. */
function sourceLine(file: string, line: number): string | undefined {
  const lines = openSync(file + LINES_SUFFIX, 'r');
  try {
    const bytes = new DataView(new ArrayBuffer(LINE_BYTES));
    readSync(lines, bytes, 0, LINE_BYTES, (line - 1) * LINE_BYTES);
    const sources = JSON.parse(readFileSync(file + SOURCES_SUFFIX, 'utf8')) as string[];
    const source = sources[bytes.getUint16(0, true)];
    const found = bytes.getUint16(2, true);
    return source === undefined || found === 0 ? undefined : `${source}:${found}`;
  } finally {
    closeSync(lines);
  }
}

/**
 * Has stacks name the lines of the sources. Node's own support reads whole source maps, with each file or at the first
 * error: a tenth of a start, or 40 MB and a tenth of a second in which nobody is answered. Here a line costs four bytes
 * that are read.
 */
function mapStacks(folder: string): void {
  const root = pathToFileURL(join(folder, '/')).href;
  const sourceOf = (place: string, url: string, line: string): string => {
    if (!url.startsWith(root)) return place;
    try {
      return sourceLine(fileURLToPath(url), Number(line)) ?? place;
    } catch {
      // the bundle was removed
      return place;
    }
  };
  Error.prepareStackTrace = (error, frames) => {
    const lines = frames.map((frame) => `\n    at ${String(frame).replace(PLACE, sourceOf)}`);
    return `${Error.prototype.toString.call(error)}${lines.join('')}`;
  };
}

/** `node --import` runs this first: imports of what the bundles hold are answered from them. */
const packages = readIndex(process.env.MILLRACE_MODULE_BUNDLE);
const sources = readIndex(process.env.MILLRACE_SOURCE_BUNDLE);
if (packages.size + sources.size > 0) {
  registerHooks({
    resolve(specifier, context, next) {
      // a package in CommonJS that requires another wants its `module.exports`
      const isImport = context.conditions.includes('import');
      const url = isImport ? (packages.get(specifier) ?? sources.get(specifier)) : undefined;
      return url === undefined ? next(specifier, context) : { url, format: 'module', shortCircuit: true };
    },
  });
}
if (sources.size > 0) mapStacks(process.env.MILLRACE_SOURCE_BUNDLE as string);
