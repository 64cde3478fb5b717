import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the repository. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** A package.json, as far as these tests read it. */
export type Manifest = {
  name: string;
  version: string;
  license?: string;
  exports?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  overrides?: Record<string, string>;
  allowScripts?: Record<string, boolean>;
};

/** A folder with a package.json of its own. */
export type Workspace = { folder: string; manifest: Manifest; files: string[] };

/** Folders whose new files count before they are added; what else lies about in a checkout is not ours. */
const OURS = ['docs', 'infra', 'libs', 'ml', 'proto', 'scripts', 'services', 'tests'];

function git(...args: string[]): string[] {
  const output = execFileSync('git', ['-c', 'safe.directory=*', ...args, '-z'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return output.split('\0').filter((file) => file !== '' && existsSync(join(ROOT, file)));
}

/** Every file that is in git or is about to be, as paths from the root. */
export const files: readonly string[] = [
  ...git('ls-files'),
  ...git('ls-files', '--others', '--exclude-standard').filter((file) =>
    OURS.includes(file.split('/')[0] ?? ''),
  ),
].sort();

/** Our TypeScript, without what generators write. */
export const typescript = files.filter((file) => /\.(ts|mts)$/.test(file) && !file.includes('/generated/'));

/** Our Python, without what generators write. */
export const python = files.filter(
  (file) => file.endsWith('.py') && !file.includes('/millrace_worker/contracts/'),
);

/** Text of a file of the repository. */
export function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

/** Parsed JSON file of the repository. */
export function readJson<T>(file: string): T {
  return JSON.parse(read(file)) as T;
}

/** Root manifest. */
export const rootManifest = readJson<Manifest>('package.json');

/** Every npm workspace with its files. */
export const workspaces: readonly Workspace[] = files
  .filter((file) => /^(services|libs|infra)\/[^/]+\/package\.json$/.test(file))
  .map((file) => {
    const folder = dirname(file);
    return {
      folder,
      manifest: readJson<Manifest>(file),
      files: typescript.filter((one) => one.startsWith(`${folder}/`)),
    };
  });

/** The workspace a file belongs to; undefined for scripts and tests of the root. */
export function workspaceOf(file: string): Workspace | undefined {
  return workspaces.find((workspace) => file.startsWith(`${workspace.folder}/`));
}

/** Whether a file is only used by tests or tools, never by a running service. */
export function isTestFile(file: string): boolean {
  return /(^|\/)(tests?|bench)\//.test(file) || file.endsWith('drizzle.config.ts');
}

/** Path from the root that a relative import of `file` leads to. */
export function resolveRelative(file: string, specifier: string): string {
  return relative(ROOT, resolve(ROOT, dirname(file), specifier));
}

/** `@scope/name` or `name` of an import specifier. */
export function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}
