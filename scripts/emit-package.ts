import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, posix, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readOptions, runScript } from './lib/command-line.ts';

const USAGE = `node ../../scripts/emit-package.ts [--tarball]

Run by npm pack in libs/sdk and libs/cli. Writes dist/: a whole package of JavaScript, types and a package.json without
workspaces, for Node does not strip types under node_modules.
  --tarball  instead puts the packed dist/ in the place of the tarball that npm pack has just written
  --help     this text`;

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SCOPE = '@millrace/';
/** Folder of dist/ with the libraries that no registry has. */
const BUNDLED = 'bundled';
const WORKSPACE_IMPORT = /(\bfrom |\bimport\()(['"])@millrace\/([\w-]+)(\/[\w-]+)?\2/g;
const TYPESCRIPT_IMPORT = /(\bfrom |\bimport\()(['"])(\.[^'"]*)\.ts\2/g;

type Manifest = {
  name: string;
  version: string;
  exports: Record<string, string>;
  bin?: Record<string, string>;
  dependencies?: Record<string, string>;
} & Record<string, unknown>;

const workspace = process.cwd();
const dist = join(workspace, 'dist');

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** A workspace and every one that it stands on, by the name of its folder in libs/. */
function withBundled(manifest: Manifest, found = new Map<string, Manifest>()): Map<string, Manifest> {
  const name = manifest.name.slice(SCOPE.length);
  if (found.has(name)) return found;
  found.set(name, manifest);
  for (const dependency of Object.keys(manifest.dependencies ?? {}))
    if (dependency.startsWith(SCOPE))
      withBundled(readManifest(join(ROOT, 'libs', dependency.slice(SCOPE.length))), found);
  return found;
}

/** Compiles with tsconfig.build.json and gives dist/ its layout: src/ and bundled/NAME/. */
function compile(own: string, names: readonly string[]): void {
  rmSync(dist, { recursive: true, force: true });
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  // What npm pack prints on stdout may be read by a program.
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { stdio: ['ignore', 2, 2] });
  mkdirSync(join(dist, BUNDLED));
  for (const name of names) {
    const emitted = join(dist, name, 'src');
    if (!existsSync(emitted))
      throw new Error(`Nothing was emitted of ${name}: include it in tsconfig.build.json.`);
    renameSync(emitted, name === own ? join(dist, 'src') : join(dist, BUNDLED, name));
    rmSync(join(dist, name), { recursive: true });
  }
}

/** The copy that an import of a workspace, or of a part of it, means. */
function copyOf(manifests: ReadonlyMap<string, Manifest>, name: string, part: string): string | undefined {
  const source = manifests.get(name)?.exports[`.${part}`];
  const copy = source && posix.join(BUNDLED, name, posix.relative('src', source.replace(/\.ts$/, '.js')));
  return copy && existsSync(join(dist, copy)) ? copy : undefined;
}

/** Points imports of workspaces at their copies, and imports in types at files that exist. */
function rewriteImports(manifests: ReadonlyMap<string, Manifest>): void {
  for (const file of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(js|d\.ts)$/.test(file)) continue;
    const path = join(dist, file);
    const text = readFileSync(path, 'utf8')
      .replaceAll(WORKSPACE_IMPORT, (_, keyword: string, quote: string, name: string, part = '') => {
        const copy = copyOf(manifests, name, part);
        if (copy === undefined) throw new Error(`${file} imports ${SCOPE}${name}${part}.`);
        const target = posix.relative(posix.dirname(file), copy);
        return `${keyword}${quote}${target.startsWith('.') ? target : `./${target}`}${quote}`;
      })
      .replaceAll(TYPESCRIPT_IMPORT, '$1$2$3.js$2');
    writeFileSync(path, text);
  }
}

function asJavaScript(paths: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(paths).map(([name, path]) => [name, path.replace(/\.ts$/, '.js')]),
  );
}

/** The manifest that users get: public dependencies only, nothing to run at installation. */
function writeManifest(manifest: Manifest, all: Iterable<Manifest>): void {
  const dependencies = [...all].flatMap((one) => Object.entries(one.dependencies ?? {}));
  const { name, version, description, license, type, engines, exports, bin } = manifest;
  const packed = {
    ...{ name, version, description, license, type, engines, private: true },
    exports: asJavaScript(exports),
    ...(bin === undefined ? {} : { bin: asJavaScript(bin) }),
    dependencies: Object.fromEntries(dependencies.filter(([one]) => !one.startsWith(SCOPE)).sort()),
  };
  writeFileSync(join(dist, 'package.json'), `${JSON.stringify(packed, null, 2)}\n`);
}

function emit(): void {
  const manifest = readManifest(workspace);
  const all = withBundled(manifest);
  compile(manifest.name.slice(SCOPE.length), [...all.keys()]);
  rewriteImports(all);
  writeManifest(manifest, all.values());
  copyFileSync(join(workspace, 'README.md'), join(dist, 'README.md'));
  copyFileSync(join(ROOT, 'LICENSE'), join(dist, 'LICENSE'));
}

/** npm has packed the workspace, whose package.json points at the sources: packs dist/ over it. */
function replaceTarball(): void {
  const { npm_execpath: npm, npm_config_pack_destination: destination = '.', INIT_CWD = '.' } = process.env;
  if (npm === undefined)
    throw new Error(`Run npm pack in ${relative(ROOT, workspace)}; it runs this script.`);
  const args = ['pack', dist, '--pack-destination', resolve(INIT_CWD, destination), '--loglevel=error'];
  execFileSync(process.execPath, [npm, ...args], { stdio: ['ignore', 'ignore', 2] });
}

await runScript(async () => {
  const { tarball } = readOptions({ usage: USAGE, options: { tarball: { type: 'boolean' } } });
  if (tarball === true) replaceTarball();
  else emit();
  return 0;
});
