import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { Manifest, Workspace } from './repository.ts';
import {
  files,
  isTestFile,
  packageOf,
  ROOT,
  read,
  readJson,
  rootManifest,
  workspaces,
} from './repository.ts';
import { syntaxOf } from './syntax.ts';

const SPDX_ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Python-2.0',
  'Unlicense',
]);

type LockEntry = {
  link?: boolean;
  dev?: boolean;
  license?: string;
  hasInstallScript?: boolean;
  os?: string[];
  cpu?: string[];
};
const lock = readJson<{ packages: Record<string, LockEntry> }>('package-lock.json');

/** Types that come with another package: `@types/pg` serves imports of `pg`. */
const typedBy = (name: string): string =>
  name.startsWith('@types/') ? name.slice('@types/'.length).replace('__', '/') : name;

function used(workspace: Workspace, wanted: (file: string) => boolean): Set<string> {
  const names = new Set<string>();
  for (const file of workspace.files.filter(wanted))
    for (const one of syntaxOf(file).imports)
      if (!one.startsWith('.') && !one.startsWith('node:')) names.add(packageOf(one));
  names.delete(workspace.manifest.name);
  return names;
}

/** Whether a package is meant without being imported: resolved by name, or in a manifest's scripts. */
function isNamed(workspace: Workspace, name: string): boolean {
  return workspace.files.some((file) =>
    syntaxOf(file).strings.some((text) => text === name || text.startsWith(`${name}/`)),
  );
}

test('every package that a workspace imports is declared in it', () => {
  const faults: string[] = [];
  for (const workspace of workspaces) {
    const { dependencies = {}, devDependencies = {} } = workspace.manifest;
    for (const name of used(workspace, (file) => !isTestFile(file)))
      if (!(name in dependencies)) faults.push(`${workspace.folder}: ${name} is not in dependencies`);
    const forTests = { ...dependencies, ...devDependencies, ...rootManifest.devDependencies };
    for (const name of used(workspace, isTestFile))
      if (!(name in forTests)) faults.push(`${workspace.folder}: ${name} is not in devDependencies`);
  }
  expect(faults).toEqual([]);
});

test('every declared package is imported', () => {
  const faults: string[] = [];
  for (const workspace of workspaces) {
    const { dependencies = {}, devDependencies = {} } = workspace.manifest;
    const inSources = used(workspace, (file) => !isTestFile(file));
    const anywhere = used(workspace, () => true);
    for (const name of Object.keys(dependencies))
      if (!inSources.has(name) && !isNamed(workspace, name))
        faults.push(`${workspace.folder}: ${name} is unused`);
    for (const name of Object.keys(devDependencies))
      if (!anywhere.has(typedBy(name)) && !isNamed(workspace, name))
        faults.push(`${workspace.folder}: ${name} (dev) is unused`);
  }
  expect(faults).toEqual([]);
});

test('what a workspace exports exists', () => {
  const faults = workspaces.flatMap(({ folder, manifest }) =>
    Object.values(manifest.exports ?? {})
      .filter((target) => !files.includes(join(folder, target)))
      .map((target) => `${folder}: ${target}`),
  );
  expect(faults).toEqual([]);
});

test('versions are exact, and the same everywhere', () => {
  const faults: string[] = [];
  const seen = new Map<string, string>();
  const manifests: [string, Manifest][] = [
    ['.', rootManifest],
    ...workspaces.map(({ folder, manifest }): [string, Manifest] => [folder, manifest]),
  ];
  for (const [folder, { dependencies, devDependencies, overrides }] of manifests)
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...overrides })) {
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
        faults.push(`${folder}: ${name}@${version} is not exact`);
      const other = seen.get(name) ?? version;
      if (other !== version) faults.push(`${folder}: ${name}@${version}, elsewhere ${other}`);
      seen.set(name, version);
    }
  expect(faults).toEqual([]);
});

test('the lock file holds no address of a registry', () => {
  const text = read('package-lock.json');
  expect(text.match(/"resolved": "(https?|git)[^"]*"/g) ?? []).toEqual([]);
  expect(text.match(/https?:\/\/[^"]*(registry|npmjs|mirror|artifactory|nexus)[^"]*/g) ?? []).toEqual([]);
});

test('the lock file knows every workspace and what it declares', () => {
  const faults: string[] = [];
  const locked = lock.packages as Record<string, Partial<Manifest>>;
  for (const { folder, manifest } of workspaces)
    for (const kind of ['dependencies', 'devDependencies'] as const)
      if (JSON.stringify(sorted(locked[folder]?.[kind])) !== JSON.stringify(sorted(manifest[kind])))
        faults.push(`${folder}: ${kind} differ from package-lock.json; run npm install`);
  expect(faults).toEqual([]);
});

function sorted(record: Record<string, string> = {}): [string, string][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Evaluates the plain forms of SPDX: one id, `A OR B`, `A AND B`, in parentheses or not. */
function isAllowed(expression: string): boolean {
  const plain = expression.replaceAll(/[()]/g, '').trim();
  if (plain.includes(' OR ')) return plain.split(' OR ').some(isAllowed);
  if (plain.includes(' AND ')) return plain.split(' AND ').every(isAllowed);
  return SPDX_ALLOWED.has(plain);
}

function licenceOf(path: string, entry: LockEntry): string {
  const file = join(ROOT, path, 'package.json');
  const manifest = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as { license?: unknown; licenses?: unknown[] })
    : { ...entry, licenses: undefined };
  // old packages have a list instead; one of several is not chosen here
  const listed = manifest.licenses?.length === 1 ? manifest.licenses[0] : undefined;
  const licence = manifest.license ?? entry.license ?? listed;
  return typeof licence === 'string' ? licence : ((licence as { type?: string } | undefined)?.type ?? 'none');
}

test('what runs in production has a permissive licence', () => {
  const faults: string[] = [];
  let checked = 0;
  for (const [path, entry] of Object.entries(lock.packages)) {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    if (!path.includes('node_modules/') || entry.link || entry.dev) continue;
    checked += 1;
    const licence = licenceOf(path, entry);
    if (!isAllowed(licence)) faults.push(`${name}: ${licence}`);
  }
  expect(checked).toBeGreaterThan(50);
  expect(faults).toEqual([]);
});

test('every package with an install script is allowed or refused by name', () => {
  const scripted = Object.entries(lock.packages)
    .filter(([, { hasInstallScript, os, cpu }]) => {
      const isForLinux = (os?.includes('linux') ?? true) && (cpu?.includes('x64') ?? true);
      return hasInstallScript && isForLinux;
    })
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
  const { allowScripts = {} } = rootManifest;
  expect(scripted.filter((name) => !(name in allowScripts))).toEqual([]);
});

test('requirements of Python are pinned by hash and name no index', () => {
  const locks = files.filter((file) => /requirements[\w-]*\.txt$/.test(file) && !file.includes('overrides'));
  expect(locks.length).toBeGreaterThan(0);
  const faults: string[] = [];
  for (const file of locks) {
    const text = read(file);
    if (/^--(extra-)?index-url|^--find-links|https?:\/\//m.test(text.replaceAll(/#.*$/gm, '')))
      faults.push(`${file} names an index`);
    for (const block of text.split(/\n(?=[A-Za-z0-9])/))
      if (/^[A-Za-z0-9][\w.-]*==/.test(block) && !block.includes('--hash=sha256:'))
        faults.push(`${file}: ${block.split('\n')[0]} has no hash`);
  }
  expect(faults).toEqual([]);
});
