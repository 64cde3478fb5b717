import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { files, ROOT, read, readJson } from './repository.ts';

const pages = files.filter((file) => file.endsWith('.md'));
const { scripts } = readJson<{ scripts: Record<string, string> }>('package.json');
/** Scripts of a workspace that its own README names. */
const ownScripts = (page: string): Record<string, string> => {
  const manifest = join(dirname(page), 'package.json');
  return files.includes(manifest)
    ? (readJson<{ scripts?: Record<string, string> }>(manifest).scripts ?? {})
    : {};
};

test('every npm script that a page names exists', () => {
  const faults: string[] = [];
  for (const page of pages)
    for (const [, name = ''] of read(page).matchAll(/\b(?:npm run|yarn) ([a-z][\w:-]*)/g))
      if (!(name in scripts) && !(name in ownScripts(page))) faults.push(`${page}: ${name}`);
  expect(faults).toEqual([]);
});

test('every npm script is explained to users or contributors', () => {
  const text = ['README.md', 'CONTRIBUTING.md'].map(read).join('\n');
  const isNamed = (name: string): boolean =>
    new RegExp(`(npm (run )?|yarn |\`)${name}(?![\\w:-])`).test(text);
  expect(Object.keys(scripts).filter((name) => !isNamed(name))).toEqual([]);
});

test('links between pages lead somewhere', () => {
  const faults: string[] = [];
  for (const page of pages)
    for (const [, target = ''] of read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g))
      if (!existsSync(join(ROOT, dirname(page), target))) faults.push(`${page}: ${target}`);
  expect(faults).toEqual([]);
});

test('every test that a page names exists, by its file and by its name', () => {
  const faults: string[] = [];
  for (const page of pages) {
    const named = read(page).matchAll(/`([\w./-]*(?:test_\w+\.py|\w\.test\.ts))(?:::(test_\w+))?`/g);
    for (const [, file = '', name] of named) {
      const near = files.filter((one) => one === file || one === join(dirname(page), file));
      const found = near.length > 0 ? near : files.filter((one) => one.endsWith(`/${file}`));
      if (found.length === 0) faults.push(`${page}: ${file}`);
      else if (name !== undefined && !found.some((one) => read(one).includes(`def ${name}(`)))
        faults.push(`${page}: ${file}::${name}`);
    }
  }
  expect(faults).toEqual([]);
});

test('every file of the repository that a script runs exists', () => {
  const faults = Object.entries(scripts).flatMap(([name, command]) =>
    (command.match(/(?:scripts|libs|services|tests|infra)\/[\w./-]+\.(?:ts|mjs)/g) ?? [])
      .filter((file) => !files.includes(file))
      .map((file) => `${name}: ${file}`),
  );
  expect(faults).toEqual([]);
});
