import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Which file of the bundle stands for which import, as JSON. */
export const BUNDLE_INDEX = 'index.json';

/** `node --import` runs this first: imports of what the bundle holds are answered from it. */
const folder = process.env.MILLRACE_MODULE_BUNDLE;
if (folder !== undefined) {
  const index = JSON.parse(readFileSync(join(folder, BUNDLE_INDEX), 'utf8')) as Record<string, string>;
  const root = pathToFileURL(join(folder, '/')).href;
  const urls = new Map(Object.entries(index).map(([specifier, file]) => [specifier, root + file]));
  registerHooks({
    resolve(specifier, context, next) {
      // a package in CommonJS that requires another wants its `module.exports`
      const url = context.conditions.includes('import') ? urls.get(specifier) : undefined;
      return url === undefined ? next(specifier, context) : { url, format: 'module', shortCircuit: true };
    },
  });
}
