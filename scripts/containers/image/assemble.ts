import { cpSync, existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isNeeded } from './needed-files.ts';
import { closureOf } from './package-closure.ts';

/**
 * `assemble.ts SOURCE INSTALLED OUT`, inside a build: makes a folder for each service in TypeScript that holds the
 * service, the libraries and the packages it imports, and nothing else. SOURCE is the repository, INSTALLED a folder
 * with its manifests after `npm ci`.
 */

/** What a workspace is run from. */
const RUN_FROM = ['package.json', 'src', 'migrations', 'public'];
/** Files outside of workspaces that are read at run time. */
const SHARED = ['package.json', 'LICENSE', 'proto/recipes.json'];

const [source, installed, out] = process.argv.slice(2);
if (source === undefined || installed === undefined || out === undefined)
  throw new Error('assemble.ts SOURCE INSTALLED OUT: name the three folders.');

function copy(from: string, to: string): void {
  if (existsSync(from)) cpSync(from, to, { recursive: true, verbatimSymlinks: true, filter: isNeeded });
}

function assemble(service: string, from: { source: string; installed: string; out: string }): void {
  const target = join(from.out, service);
  mkdirSync(target, { recursive: true });
  for (const file of SHARED) copy(join(from.source, file), join(target, file));
  for (const folder of closureOf(realpathSync(from.installed), join('services', service))) {
    if (folder.includes('node_modules')) copy(join(from.installed, folder), join(target, folder));
    else for (const part of RUN_FROM) copy(join(from.source, folder, part), join(target, folder, part));
  }
}

const services = readdirSync(join(source, 'services'), { withFileTypes: true })
  .filter((entry) => existsSync(join(source, 'services', entry.name, 'src', 'main.ts')))
  .map(({ name }) => name);
for (const service of services) assemble(service, { source, installed, out });
process.stdout.write(`${services.length} services in ${relative(process.cwd(), out) || '.'}\n`);
