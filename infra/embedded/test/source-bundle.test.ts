import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { REPOSITORY_ROOT } from '../src/home.ts';
import { moduleBundleVariables } from '../src/module-bundle.ts';
import { BUNDLED_ENTRIES, bundledSources, sourceBundleVariables, sourceKey } from '../src/source-bundle.ts';

const run = promisify(execFile);
const HOOK = pathToFileURL(join(REPOSITORY_ROOT, 'infra', 'embedded', 'src', 'module-bundle-hook.ts')).href;
const scratch = mkdtempSync(join(tmpdir(), 'source-bundle-'));
/** A repository with a service of three processes and a library. */
const root = join(scratch, 'repository');
const cache = join(scratch, 'cache');
afterAll(() => rmSync(scratch, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const LIBRARY = 'libs/words/src/word.ts';
const [MAIN] = BUNDLED_ENTRIES;
const say = (word: string): void => write(LIBRARY, `export const word: string = '${word}';\n`);

beforeAll(() => {
  write('package-lock.json', '{}');
  for (const folder of ['libs/words', 'services/inference'])
    write(`${folder}/package.json`, '{"type":"module"}');
  for (const entry of BUNDLED_ENTRIES) write(entry, 'export {};\n');
  write(
    MAIN,
    `import { word } from '../../../${LIBRARY}';
type Told = { word: string; address: string; stack: string | undefined };

const told: Told = { word, stack: new Error(word).stack, address: import.meta.url };
console.log(JSON.stringify(told));
`,
  );
  say('first');
});

/** What a launcher would give the service now. */
async function variables(node = process.execPath): Promise<{ given: NodeJS.ProcessEnv; notices: string[] }> {
  const notices: string[] = [];
  const given = await sourceBundleVariables(node, (notice) => notices.push(notice), { cache, root });
  return { given, notices };
}

async function start(given: NodeJS.ProcessEnv): Promise<{ word: string; address: string; stack: string }> {
  const env = { PATH: process.env.PATH, NODE_OPTIONS: `--import ${HOOK}`, ...given };
  const { stdout } = await run(process.execPath, ['--no-warnings', join(root, MAIN)], { env });
  return JSON.parse(stdout);
}

test('a service runs from the bundle as from its sources: its address, and the lines of its stacks', async () => {
  const { given, notices } = await variables();
  expect(notices).toEqual([]);
  const [{ stack, ...bundled }, { stack: sourceStack, ...plain }] = [await start(given), await start({})];
  expect(bundled).toEqual(plain);
  // the lines are told, the columns are not
  const linesOf = (text: string): string => text.replaceAll(/(\.ts:\d+):\d+/g, '$1');
  expect(linesOf(stack)).toBe(linesOf(sourceStack));
  expect(stack).toContain(`${join(root, MAIN)}:4`);
});

test('what was changed since is never run: each start of a launcher is of the sources that lie there', async () => {
  const before = (await variables()).given;
  say('second');
  // a platform that runs goes on with what it was started with
  expect((await start(before)).word).toBe('first');
  const after = (await variables()).given;
  expect(after).not.toEqual(before);
  expect((await start(after)).word).toBe('second');
  say('first');
  expect((await variables()).given).toEqual(before);
});

test('every source, its package, the packages that are installed and new files change the key', () => {
  const keys = new Set([sourceKey(root)]);
  const differs = (): void => {
    const { size } = keys;
    keys.add(sourceKey(root));
    expect(keys.size).toBe(size + 1);
  };
  for (const path of [...bundledSources(root), 'package-lock.json']) {
    write(path, ' ');
    differs();
  }
  write('libs/words/src/deep/new.ts', '');
  differs();
  rmSync(join(root, 'libs/words/src/deep'), { recursive: true });
});

test('a bundle is not kept when a source changes while it is made, or when it cannot be made', async () => {
  rmSync(root, { recursive: true });
  write('package-lock.json', '{}');
  for (const folder of ['libs/words', 'services/inference'])
    write(`${folder}/package.json`, '{"type":"module"}');
  for (const entry of BUNDLED_ENTRIES) write(entry, 'export {};\n');
  say('third');
  const made = readdirSync(cache);
  const node = join(scratch, 'editing-node');
  writeFileSync(node, `#!/bin/sh\n"${process.execPath}" "$@" && echo '//' >> "${join(root, LIBRARY)}"\n`);
  chmodSync(node, 0o755);
  expect(await variables(node)).toEqual({
    given: {},
    notices: [expect.stringMatching(/a source changed while it was made/)],
  });
  write(MAIN, 'const = ;');
  expect(await variables()).toEqual({ given: {}, notices: [expect.stringMatching(/could not be made/)] });
  expect(readdirSync(cache)).toEqual(made);
});

test('a process whose bundle was removed runs from its sources', async () => {
  write(MAIN, `console.log(JSON.stringify({ word: 'from the source' }));\n`);
  const { given } = await variables();
  rmSync(given.MILLRACE_SOURCE_BUNDLE as string, { recursive: true });
  expect((await start(given)).word).toBe('from the source');
});

test('a model host runs from the bundle of our own sources', async () => {
  const notices: string[] = [];
  const packages = await moduleBundleVariables(process.execPath, (notice) => notices.push(notice));
  const sources = await sourceBundleVariables(process.execPath, (notice) => notices.push(notice), {
    cache: join(REPOSITORY_ROOT, 'node_modules', '.cache', 'millrace', 'sources'),
  });
  expect(notices).toEqual([]);
  const counter = join(scratch, 'count.mjs');
  writeFileSync(
    counter,
    `import { registerHooks } from 'node:module';
     const own = [];
     registerHooks({ load(url, context, next) { if (/[/](libs|services)[/]/.test(url)) own.push(url); return next(url, context); } });
     process.once('message', () => process.send({ own }));`,
  );
  const host = fork(join(REPOSITORY_ROOT, 'services/inference/src/engine/host-main.ts'), {
    execArgv: ['--no-warnings', '--import', pathToFileURL(counter).href],
    env: { PATH: process.env.PATH, ...packages, ...sources },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  try {
    const [ready] = await once(host, 'message');
    expect(ready).toMatchObject({ type: 'ready' });
    host.send({ id: 1, type: 'unload' });
    const [told] = await once(host, 'message');
    expect(told).toEqual({ own: [] });
  } finally {
    host.kill('SIGKILL');
  }
});
