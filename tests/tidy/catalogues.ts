import { expect, test } from '@jest/globals';
import * as contracts from '@millrace/contracts';
import { errorCatalog, eventCatalog } from '@millrace/contracts';
import { files, isTestFile, python, read, readJson, typescript } from './repository.ts';
import { syntaxOf } from './syntax.ts';

const production = typescript.filter((file) => !isTestFile(file) && !file.startsWith('libs/testing/'));
const running = production.filter((file) => /^(services|libs)\/[^/]+\/src\//.test(file));
const pythonSources = python.filter((file) => file.includes('/src/'));

test('every error code is thrown somewhere', () => {
  const thrown = new Set<string>();
  for (const file of running.filter((one) => one !== 'libs/contracts/src/errors.ts'))
    for (const text of syntaxOf(file).strings) thrown.add(text);
  for (const file of pythonSources)
    for (const [, text = ''] of read(file).matchAll(/(?<![=!]= )["']([a-z_]+)["']/g)) thrown.add(text);
  expect(Object.keys(errorCatalog).filter((code) => !thrown.has(code))).toEqual([]);
});

test('every error code is explained in docs/errors.md, and no other', () => {
  const documented = [...read('docs/errors.md').matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, code]) => code);
  expect(documented.sort()).toEqual(Object.keys(errorCatalog).sort());
});

test('codes in Python are in the catalogue', () => {
  const faults: string[] = [];
  for (const file of pythonSources)
    for (const [, code = ''] of read(file).matchAll(/\bMillraceError\(\s*["']([a-z_]+)["']/g))
      if (!Object.hasOwn(errorCatalog, code)) faults.push(`${file}: ${code}`);
  expect(faults).toEqual([]);
});

test('every event is in the AsyncAPI description and has its schema', () => {
  const channels = JSON.stringify(readJson('proto/asyncapi.json'));
  const missing = eventCatalog.filter(
    ({ name, version, subject }) =>
      !channels.includes(`"${subject}"`) || !files.includes(`proto/events/${name}.v${version}.schema.json`),
  );
  expect(missing.map(({ name }) => name)).toEqual([]);
  const schemas = files.filter((file) => /^proto\/events\/.*\.schema\.json$/.test(file));
  expect(schemas.length).toBe(eventCatalog.length);
});

test('every event is published by somebody', () => {
  const published = new Set<string>();
  for (const file of running)
    for (const call of syntaxOf(file).calls.filter(({ name }) =>
      /^(append|publish|emit|record|announce)/.test(name),
    ))
      for (const name of call.arguments) published.add(name);
  const missing: string[] = [];
  for (const [name, value] of Object.entries(contracts)) {
    if (isEvent(value) && !published.has(name)) missing.push(name);
    if (!name.endsWith('JobEvents')) continue;
    for (const fact of Object.keys(value))
      if (![`${name}.${fact}`, `events.${fact}`].some((one) => published.has(one)))
        missing.push(`${name}.${fact}`);
  }
  expect(missing).toEqual([]);
});

function isEvent(value: unknown): boolean {
  return eventCatalog.some((event) => event === value);
}
