import { expect, test } from '@jest/globals';
import { isTestFile, packageOf, resolveRelative, typescript, workspaceOf, workspaces } from './repository.ts';
import { syntaxOf } from './syntax.ts';

/** What each library may import, apart from packages that are not ours. */
const mayImport: Record<string, readonly string[]> = {
  contracts: [],
  database: ['contracts'],
  storage: ['contracts'],
  integrity: ['contracts'],
  onnx: ['contracts'],
  tfjs: ['contracts'],
  recipes: ['contracts'],
  ensemble: ['contracts'],
  drift: ['contracts', 'integrity'],
  bus: ['contracts', 'database', 'storage', 'integrity', 'onnx'],
  'service-kit': ['contracts', 'database', 'storage', 'integrity', 'onnx', 'bus'],
  jobs: ['contracts', 'database', 'storage', 'integrity', 'onnx', 'bus', 'service-kit'],
  uploads: ['contracts', 'database', 'storage', 'integrity', 'onnx', 'bus', 'service-kit'],
  embedded: ['contracts'],
  testing: [
    'contracts',
    'database',
    'storage',
    'integrity',
    'onnx',
    'bus',
    'service-kit',
    'jobs',
    'embedded',
  ],
  sdk: ['contracts'],
  // it verifies packages and compares rebuilt models on the user's own machine
  cli: ['contracts', 'integrity', 'onnx', 'sdk'],
};
const libraries = Object.keys(mayImport);
/** What a service stands on; the rest is for tests, users and the launcher. */
const forServices = libraries.filter((name) => !['embedded', 'testing', 'sdk', 'cli'].includes(name));

function ours(file: string): string[] {
  return syntaxOf(file)
    .imports.map(packageOf)
    .filter((name) => name.startsWith('@millrace/'))
    .map((name) => name.slice('@millrace/'.length));
}

test('every library has its place among the layers', () => {
  const found = workspaces
    .filter(({ folder }) => !folder.startsWith('services/'))
    .map(({ manifest }) => manifest.name.slice('@millrace/'.length));
  expect(found.filter((name) => !libraries.includes(name))).toEqual([]);
});

test('libraries import only libraries below them, services only libraries', () => {
  const faults: string[] = [];
  for (const { folder, manifest, files } of workspaces) {
    const self = manifest.name.slice('@millrace/'.length);
    const allowed = folder.startsWith('services/') ? forServices : (mayImport[self] ?? []);
    for (const file of files) {
      const also = isTestFile(file) ? ['testing', 'embedded', self] : [];
      for (const name of ours(file))
        if (!allowed.includes(name) && !also.includes(name)) faults.push(`${file} imports @millrace/${name}`);
    }
  }
  expect(faults).toEqual([]);
});

test('relative imports stay inside their workspace and name the file', () => {
  const faults: string[] = [];
  for (const file of typescript)
    for (const specifier of syntaxOf(file).imports.filter((one) => one.startsWith('.'))) {
      const target = resolveRelative(file, specifier);
      const home = workspaceOf(file);
      if (home && !target.startsWith(`${home.folder}/`)) faults.push(`${file} reaches into ${target}`);
      if (!/\.(ts|mjs|cjs|js|json)$/.test(specifier))
        faults.push(`${file} imports ${specifier} without ending`);
    }
  expect(faults).toEqual([]);
});

test('the contracts do no input or output', () => {
  const faults = typescript
    .filter((file) => file.startsWith('libs/contracts/src/'))
    .flatMap((file) =>
      syntaxOf(file)
        .imports.filter((one) => one.startsWith('node:'))
        .map((one) => `${file}: ${one}`),
    );
  expect(faults).toEqual([]);
});
