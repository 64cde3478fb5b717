import { cpSync, existsSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isNeeded } from './needed-files.ts';
import { closureOf } from './package-closure.ts';

/**
 * `assemble.ts SERVICE SOURCE INSTALLED OUT`, inside a build: makes a folder that holds a service in TypeScript, the
 * libraries and the packages that it imports, and nothing else. SOURCE is the repository, INSTALLED a folder with its
 * manifests after `npm ci`.
 */

/** What a workspace is run from. */
const RUN_FROM = ['package.json', 'src', 'migrations', 'public'];
/** Files outside of workspaces that are read at run time. */
const SHARED = ['package.json', 'LICENSE', 'proto/recipes.json'];

const [service, source, installed, out] = process.argv.slice(2);
if (service === undefined || source === undefined || installed === undefined || out === undefined)
  throw new Error('assemble.ts SERVICE SOURCE INSTALLED OUT: name the service and the three folders.');

function copy(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true, verbatimSymlinks: true, filter: isNeeded });
}

for (const file of SHARED) copy(join(source, file), join(out, file));
for (const folder of closureOf(realpathSync(installed), join('services', service))) {
  if (folder.includes('node_modules')) copy(join(installed, folder), join(out, folder));
  else for (const part of RUN_FROM) copy(join(source, folder, part), join(out, folder, part));
}
