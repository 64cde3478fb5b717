import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from '@jest/globals';
import { REPOSITORY_ROOT } from '../src/home.ts';
import { moduleBundleVariables } from '../src/module-bundle.ts';
import { SERVICE_NAMES } from '../src/service-parts.ts';

const run = promisify(execFile);
const cache = mkdtempSync(join(tmpdir(), 'module-bundle-'));
afterAll(() => rmSync(cache, { recursive: true }));

/** What a service does with the bundled packages, and how many modules of packages that takes. */
const PROGRAM = `
  import { registerHooks } from 'node:module';
  let modules = 0;
  registerHooks({ load(url, context, next) { if (url.includes('node_modules') || url.includes('module-bundle-')) modules += 1; return next(url, context); } });
  const { default: Type } = await import('typebox');
  const { Compile } = await import('typebox/compile');
  const { TypeBoxValidatorCompiler } = await import('@fastify/type-provider-typebox');
  const { default: fastify, errorCodes } = await import('fastify');
  const { default: pg, Pool } = await import('pg');
  const { drizzle } = await import('drizzle-orm/node-postgres');
  const { sql } = await import('drizzle-orm');
  const { pgTable, text } = await import('drizzle-orm/pg-core');
  const { JetStreamApiError } = await import('@nats-io/jetstream');
  const { connect } = await import('@nats-io/transport-node');
  const app = fastify().setValidatorCompiler(TypeBoxValidatorCompiler);
  app.post('/', { schema: { body: Type.Object({ n: Type.Integer() }) } }, async ({ body }) => ({ twice: body.n * 2 }));
  const good = await app.inject({ method: 'POST', url: '/', payload: { n: 4 } });
  const bad = await app.inject({ method: 'POST', url: '/', payload: { n: 'x' } });
  const pool = new Pool({ connectionString: 'postgres://none@127.0.0.1:1/none' });
  const query = drizzle(pool).select().from(pgTable('t', { a: text() })).where(sql\`a = \${'b'}\`).toSQL();
  console.log(JSON.stringify({
    modules,
    checks: [Compile(Type.String()).Check('a'), Compile(Type.String()).Check(1)],
    answers: [good.json(), bad.statusCode, bad.json().code],
    sql: query.sql,
    sameClass: pg.Pool === Pool,
    names: [typeof connect, JetStreamApiError.name, typeof errorCodes.FST_ERR_VALIDATION],
  }));
`;

async function outcome(variables: NodeJS.ProcessEnv): Promise<{ modules: number }> {
  const args = ['--no-warnings', '--input-type=module', '--eval', PROGRAM];
  const { stdout } = await run(process.execPath, args, {
    cwd: REPOSITORY_ROOT,
    env: { PATH: process.env.PATH, ...variables },
  });
  return JSON.parse(stdout);
}

test('packages do the same from the bundle as from their own folders, of a tenth of the modules', async () => {
  const notices: string[] = [];
  const variables = await moduleBundleVariables(process.execPath, (notice) => notices.push(notice), cache);
  expect(notices).toEqual([]);
  const [bundled, plain] = await Promise.all([outcome(variables), outcome({})]);
  const { modules, ...same } = bundled;
  expect({ ...plain, modules: 0 }).toEqual({ ...same, modules: 0 });
  expect(modules * 10).toBeLessThan(plain.modules);
});

/** Loads the application of a service, and how many modules of each package that takes. */
const COUNT = `
  import { registerHooks } from 'node:module';
  const packages = {};
  registerHooks({ load(url, context, next) {
    const name = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1];
    if (name !== undefined) packages[name] = (packages[name] ?? 0) + 1;
    return next(url, context);
  } });
  await import(process.argv[1]);
  console.log(JSON.stringify(packages));
  process.exit(0);
`;
/** A package of which a service loads more modules than this belongs into the bundle. */
const MODULES_MAX = 30;

test('no service loads a package of many modules beside the bundle', async () => {
  const variables = await moduleBundleVariables(process.execPath, () => undefined, cache);
  for (const service of SERVICE_NAMES) {
    const app = join(REPOSITORY_ROOT, 'services', service, 'src', 'app.ts');
    const { stdout } = await run(
      process.execPath,
      ['--no-warnings', '--input-type=module', '--eval', COUNT, app],
      { cwd: REPOSITORY_ROOT, env: { PATH: process.env.PATH, ...variables } },
    );
    const packages = Object.entries(JSON.parse(stdout) as Record<string, number>);
    expect(packages.length).toBeGreaterThan(3);
    expect({ service, large: packages.filter(([, modules]) => modules > MODULES_MAX) }).toEqual({
      service,
      large: [],
    });
  }
});

test('the bundle is made once, and anew beside the two that were used last', async () => {
  const variables = await moduleBundleVariables(process.execPath, () => undefined, cache);
  const folder = variables.MILLRACE_MODULE_BUNDLE as string;
  const madeAt = (): number => statSync(join(folder, 'index.json')).ctimeMs;
  const made = madeAt();
  await moduleBundleVariables(process.execPath, () => undefined, cache);
  expect(madeAt()).toBe(made);

  rmSync(folder, { recursive: true });
  for (const [usedAt, name] of ['oldest', 'older', 'old'].entries()) {
    writeFileSync(join(cache, name), '');
    utimesSync(join(cache, name), usedAt, usedAt);
  }
  await moduleBundleVariables(process.execPath, () => undefined, cache);
  expect(readdirSync(cache).sort()).toEqual([basename(folder), 'old', 'older']);
});

test('a bundle that cannot be made is said and done without', async () => {
  const empty = join(cache, 'nothing');
  const notices: string[] = [];
  expect(await moduleBundleVariables('/bin/false', (notice) => notices.push(notice), empty)).toEqual({});
  expect(notices).toEqual([expect.stringMatching(/could not be made/)]);
  expect(readdirSync(empty)).toEqual([]);
});
