import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from 'esbuild';
import { build } from 'esbuild';
import { BUNDLE_INDEX } from './module-bundle-hook.ts';

/** What our services import of the packages with many files. All of a package, or it would be loaded twice. */
const SPECIFIERS = [
  'typebox',
  'typebox/compile',
  'typebox/format',
  'typebox/value',
  '@fastify/fast-json-stringify-compiler',
  '@fastify/swagger',
  '@fastify/type-provider-typebox',
  'drizzle-orm',
  'drizzle-orm/node-postgres',
  'drizzle-orm/node-postgres/migrator',
  'drizzle-orm/pg-core',
  'pg',
  '@nats-io/transport-node',
  '@nats-io/jetstream',
  '@bufbuild/protobuf',
  '@bufbuild/protobuf/codegenv2',
  '@bufbuild/protobuf/wire',
  '@bufbuild/protobuf/wkt',
  '@opentelemetry/api',
  '@peculiar/asn1-schema',
  '@peculiar/asn1-x509',
  'ajv',
  'ajv-formats',
  'fastify',
  'jose',
  'prom-client',
  'uuid',
];
/** Loaded from their own folders: they find files of theirs by path, or are optional. */
const EXTERNAL = ['pino', 'pg-native'];
/** esbuild's output has no `require` of its own for what is external. */
const BANNER = `import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);`;

const fileOf = (specifier: string): string => `${specifier.replaceAll('@', '').replaceAll('/', '__')}.mjs`;

/** Names that Node finds in a module; of one in CommonJS it is these that a bundle would not have by itself. */
async function namesOf(url: string): Promise<{ names: string[]; isCommonJs: boolean }> {
  const all = Object.keys((await import(url)) as object);
  return {
    names: all.filter((name) => name !== 'module.exports').sort(),
    isCommonJs: all.includes('module.exports'),
  };
}

/** An entry for a package in CommonJS: its exports under the names that Node gives them. */
function facade(specifier: string, names: readonly string[]): string {
  const own = names.filter((name) => name !== 'default');
  const locals = own.map((name, i) => `const x${i} = whole[${JSON.stringify(name)}];`);
  const exported = own.map((name, i) => `x${i} as ${JSON.stringify(name)}`);
  return [
    `const whole = require(${JSON.stringify(specifier)});`,
    'export default whole;',
    ...locals,
    `export { ${exported.join(', ')} };`,
  ].join('\n');
}

/** Bundles the packages into `folder` and checks that each has the exports it has in its own folder. */
async function makeBundle(folder: string): Promise<void> {
  const facades = new Map<string, string>();
  const expected = new Map<string, string[]>();
  for (const specifier of SPECIFIERS) {
    const { names, isCommonJs } = await namesOf(specifier);
    expected.set(specifier, names);
    if (isCommonJs) facades.set(`facade:${specifier}`, facade(specifier, names));
  }
  const resolveFrom = createRequire(import.meta.url)
    .resolve('typebox')
    .replace(/[/\\]node_modules[/\\].*$/, '');
  const virtual: Plugin = {
    name: 'facades',
    setup(api) {
      api.onResolve({ filter: /^facade:/ }, ({ path }) => ({ path, namespace: 'facade' }));
      api.onLoad({ filter: /.*/, namespace: 'facade' }, ({ path }) => ({
        contents: facades.get(path) ?? '',
        resolveDir: resolveFrom,
      }));
    },
  };
  await build({
    entryPoints: SPECIFIERS.map((specifier) => ({
      in: facades.has(`facade:${specifier}`) ? `facade:${specifier}` : specifier,
      out: fileOf(specifier).replace(/\.mjs$/, ''),
    })),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    absWorkingDir: resolveFrom,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: `node${process.versions.node}`,
    external: EXTERNAL,
    banner: { js: BANNER },
    legalComments: 'none',
    logLevel: 'error',
    plugins: [virtual],
  });
  for (const [specifier, names] of expected) {
    const made = await namesOf(pathToFileURL(join(folder, fileOf(specifier))).href);
    const missing = names.filter((name) => !made.names.includes(name));
    if (missing.length > 0) throw new Error(`the bundle of ${specifier} lacks ${missing.join(', ')}`);
  }
  const index = Object.fromEntries(SPECIFIERS.map((specifier) => [specifier, fileOf(specifier)]));
  writeFileSync(join(folder, BUNDLE_INDEX), JSON.stringify(index));
}

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: module-bundle-maker.ts FOLDER');
await makeBundle(folder);
