import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { files, isTestFile, python, ROOT, read, typescript, workspaces } from './repository.ts';
import { syntaxOf } from './syntax.ts';

const LINES_MAX = 400;
const LINES_MEDIAN_MAX = 200;
const FILE_BYTES_MAX = 1024 * 1024;
/** Reading these changes nothing and tells nothing of the surroundings. */
const MEASUREMENTS = new Set([
  'hrtime',
  'memoryUsage',
  'cpuUsage',
  'resourceUsage',
  'nextTick',
  'pid',
  'versions',
  'execPath',
]);
/** Where a process begins or is looked after, and where a native library reads nothing but its environment. */
const PROCESS_OWNERS =
  /(^|[/-])main\.ts$|^scripts\/|^infra\/|^libs\/(testing|cli)\/|\/test\/|^tests\/|^libs\/service-kit\/src\/run-service\.ts$|^services\/inference\/src\/engine\/(host|onnxruntime)\.ts$/;

const BINARY = /\.(onnx|npz|npy|pb|png|jpe?g|ico|woff2?|index|keras|h5|safetensors|arrow|data-\d+-of-\d+)$/;
const texts = files.filter((file) => !BINARY.test(file));
const sources = [...typescript, ...python];
const linesOf = (file: string): number => read(file).split('\n').length - 1;

test('no test is left out or alone, and none replaces a module', () => {
  const forbidden = ['only', 'skip', 'todo', 'failing'];
  const runners = ['test', 'it', 'describe'];
  const faults = typescript.flatMap((file) =>
    syntaxOf(file)
      .members.filter((member) => {
        const [object = '', property = ''] = member.split('.');
        return runners.includes(object)
          ? forbidden.includes(property)
          : /^jest\.(mock|unstable_mockModule|doMock)$/.test(member);
      })
      .map((member) => `${file}: ${member}`),
  );
  for (const file of python)
    if (/pytest\.mark\.(skip|xfail)\b|unittest\.mock|monkeypatch\.setattr/.test(read(file)))
      faults.push(`${file}: skips a test or replaces a module`);
  expect(faults).toEqual([]);
});

test('nothing is left to be done later', () => {
  const marks = new RegExp(
    `\\b(${['TO', 'FIX', 'XX'].map((a, i) => a + ['DO', 'ME', 'X'][i]).join('|')})\\b`,
  );
  expect(sources.filter((file) => marks.test(read(file)))).toEqual([]);
});

test('files are short', () => {
  const long = sources
    .filter((file) => linesOf(file) > LINES_MAX)
    .map((file) => `${file}: ${linesOf(file)} lines`);
  expect(long).toEqual([]);
  const sorted = sources.map(linesOf).sort((a, b) => a - b);
  expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(LINES_MEDIAN_MAX);
});

test('TypeScript files have kebab-case names, Python files snake_case', () => {
  const kebab = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*\.m?ts$/;
  const snake = /^(__[a-z]+__|_?[a-z0-9]+(_[a-z0-9]+)*)\.py$/;
  expect(typescript.filter((file) => !kebab.test(basename(file)))).toEqual([]);
  expect(python.filter((file) => !snake.test(basename(file)))).toEqual([]);
});

test('no drawer for everything', () => {
  expect(sources.filter((file) => /(^|\/)(utils?|helpers?|types|common|misc)\.(ts|py)$/.test(file))).toEqual(
    [],
  );
  const stars = typescript.filter((file) => /^export \* from/m.test(read(file)));
  expect(stars).toEqual([]);
});

test('every exported function, class and constant is used', () => {
  const words = new Map(typescript.map((file) => [file, wordsOf(file)]));
  const dead: string[] = [];
  for (const file of typescript.filter((one) => one.includes('/src/') && !one.endsWith('/schema.ts')))
    for (const [, name = ''] of read(file).matchAll(/^export (?:async )?(?:function|const|class) (\w+)/gm)) {
      const isUsedHere = (words.get(file) ?? []).filter((word) => word === name).length > 1;
      const isUsedElsewhere = typescript.some(
        (other) => other !== file && !other.endsWith('/src/index.ts') && words.get(other)?.includes(name),
      );
      if (!isUsedHere && !isUsedElsewhere) dead.push(`${file}: ${name}`);
    }
  expect(dead).toEqual([]);
});

/** Words of a file's code, without its comments. */
function wordsOf(file: string): string[] {
  return (
    read(file)
      .replaceAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*/g, '')
      .match(/[A-Za-z_$][\w$]*/g) ?? []
  );
}

test('every library and service explains itself', () => {
  const folders = new Set(workspaces.map(({ folder }) => folder));
  for (const file of files) {
    const found = /^((?:services|libs)\/[^/]+)\/src\//.exec(file)?.[1];
    if (found) folders.add(found);
  }
  expect([...folders].filter((folder) => !files.includes(`${folder}/README.md`))).toEqual([]);
});

test('only the file that starts a process touches it', () => {
  const faults = typescript
    .filter((file) => !PROCESS_OWNERS.test(file) && !isTestFile(file))
    .flatMap((file) =>
      syntaxOf(file)
        .members.filter(
          (member) => member.startsWith('process.') && !MEASUREMENTS.has(member.slice('process.'.length)),
        )
        .map((member) => `${file}: ${member}`),
    );
  expect(faults).toEqual([]);
});

test('default exports are only where a tool asks for them', () => {
  const forTools = /(^|\/)(drizzle\.config|global-setup|global-teardown)\.ts$/;
  expect(typescript.filter((file) => !forTools.test(file) && syntaxOf(file).hasDefaultExport)).toEqual([]);
});

test('no file names a machine or a registry', () => {
  const rules: [RegExp, string][] = [
    [/(?<![\w.-])\/(work|root|farm|home\/\w+|Users\/\w+)\/[\w.-]/, 'a path of one machine'],
    [
      /https?:\/\/[\w.-]*(registry\.npmjs|npmmirror|pypi\.(org|python)\/?simple|files\.pythonhosted)/,
      'a registry',
    ],
    [/https?:\/\/[\w.:-]+\/(repository|artifactory|simple)\//, 'a registry'],
  ];
  const faults: string[] = [];
  for (const file of texts.filter((one) => one !== 'tests/tidy/sources.ts'))
    for (const [pattern, what] of rules) {
      const found = pattern.exec(read(file));
      if (found) faults.push(`${file} holds ${what}: ${found[0]}`);
    }
  expect(faults).toEqual([]);
});

test('no file is large', () => {
  const large = files.filter((file) => statSync(join(ROOT, file)).size > FILE_BYTES_MAX);
  expect(large).toEqual([]);
});

test('Python neither unpickles nor evaluates nor uses a shell', () => {
  const forbidden =
    /^\s*(import|from) (pickle|joblib|dill|cloudpickle|marshal|shelve)\b|allow_pickle\s*=\s*True|(?<![\w.])(eval|exec)\(|shell\s*=\s*True|os\.system\(|yaml\.load\(|torch\.load\(/m;
  const faults = python.flatMap((file) => {
    const found = forbidden.exec(read(file));
    return found ? [`${file}: ${found[0].trim()}`] : [];
  });
  expect(faults).toEqual([]);
});

test('TypeScript neither evaluates text nor uses a shell', () => {
  const faults = typescript.flatMap((file) =>
    syntaxOf(file)
      .calls.filter(({ name }) => ['eval', 'execSync', 'Function'].includes(name))
      .map(({ name }) => `${file}: ${name}()`),
  );
  expect(faults).toEqual([]);
});
