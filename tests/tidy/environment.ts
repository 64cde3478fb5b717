import { expect, test } from '@jest/globals';
import { streamCatalog } from '@millrace/bus';
import { configTable } from '@millrace/service-kit';
import { files, isTestFile, python, read, typescript } from './repository.ts';
import { syntaxOf } from './syntax.ts';

const NOT_VARIABLES = new Set<string>(Object.values(streamCatalog).map(({ name }) => name));
const VARIABLE = /\bMILLRACE_[A-Z0-9]+(?:_[A-Z0-9]+)*\b/g;
type ConfigSchema = Parameters<typeof configTable>[0];

/** Names of the environment that code reads or sets, with one file that does. */
function variablesInCode(): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of typescript.filter((one) => !isTestFile(one))) {
    const { strings, members } = syntaxOf(file);
    for (const text of [...strings, ...members.map((member) => member.split('.')[1] ?? '')])
      if (/^MILLRACE_[A-Z0-9_]*[A-Z0-9]$/.test(text)) found.set(text, file);
  }
  for (const file of python.filter((one) => one.includes('/src/')))
    for (const [, name = ''] of read(file).matchAll(/["'](MILLRACE_[A-Z0-9_]*[A-Z0-9])["']/g))
      found.set(name, file);
  for (const name of NOT_VARIABLES) found.delete(name);
  return found;
}

/** Names in the rows of tables of all READMEs. */
function documentedVariables(): Set<string> {
  const found = new Set<string>();
  for (const file of files.filter((one) => one.endsWith('README.md')))
    for (const row of read(file)
      .split('\n')
      .filter((line) => line.startsWith('|')))
      for (const [name] of row.matchAll(VARIABLE)) found.add(name);
  for (const name of NOT_VARIABLES) found.delete(name);
  return found;
}

/** Names that the gateway's config composes of a prefix and a service, as its own README lists them. */
const isComposed = (name: string): boolean => name.startsWith('MILLRACE_UPSTREAM_');

test('every variable of the environment is in a table of a README, and no other', () => {
  const documented = documentedVariables();
  const inCode = variablesInCode();
  const undocumented = [...inCode].filter(([name]) => !documented.has(name));
  expect(undocumented.map(([name, file]) => `${name} (${file})`)).toEqual([]);
  expect([...documented].filter((name) => !inCode.has(name) && !isComposed(name))).toEqual([]);
});

const configs = files.filter((file) => /^services\/[^/]+\/src\/config\.ts$/.test(file));

test.each(configs)("%s: its service's README has its table, word for word", async (file) => {
  const module = (await import(`../../${file}`)) as Record<string, unknown>;
  const schema = Object.values(module).find(isConfigSchema);
  if (schema === undefined) throw new Error(`${file} exports no schema`);
  const readme = file.replace('src/config.ts', 'README.md');
  const table = configTable(schema).trim();
  expect(files.includes(readme) && read(readme).includes(table) ? '' : `put into ${readme}:\n${table}`).toBe(
    '',
  );
});

function isConfigSchema(value: unknown): value is ConfigSchema {
  return typeof value === 'object' && value !== null && 'properties' in value;
}
