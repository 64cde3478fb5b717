import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import {
  compileSchemas,
  createAuth,
  createHttp,
  createKeySetHolder,
  createLogger,
  createMetrics,
} from '@millrace/service-kit';
import { compileSchemasOf, DESCRIBED_SERVICES, describedApp } from '../../scripts/generate/openapi.ts';
import { mlflowSupport } from '../../services/registry/test/support/mlflow-support.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
/** A line of the tree of routes that Fastify prints: its depth in fours, a piece of a path, the methods there. */
const LINE = /^([│ ]*)[├└]── (\S+)(?: \(([A-Z, ]+)\))?$/;

/** Routes of MLflow in the tree, such as `GET /api/2.0/mlflow/runs/get`, sorted; of those with `*` it tells only that. */
function printedRoutes(tree: string): string[] {
  const pieces: string[] = [];
  return tree
    .split('\n')
    .flatMap((line) => {
      const [, indent = '', piece = '', methods = ''] = LINE.exec(line) ?? [];
      pieces.length = indent.length / 4;
      pieces.push(piece);
      const path = pieces.join('');
      return methods.split(', ').map((method) => `${method} ${path}`);
    })
    .filter((route) => route.includes(' /api/') && !route.startsWith('HEAD '))
    .sort();
}

test.each(DESCRIBED_SERVICES)(
  'every schema of every route of %s compiles',
  async (service) => {
    const file = new URL(`../../proto/openapi/${service}.json`, import.meta.url);
    const { paths } = JSON.parse(readFileSync(file, 'utf8')) as { paths: Record<string, object> };
    const operations = Object.values(paths).flatMap((item) => Object.keys(item));
    // most have several; none may be left out
    expect(await compileSchemasOf(service)).toBeGreaterThanOrEqual(operations.length - 2);
  },
  60_000,
);

test('the routes for MLflow are among them, which no document shows', async () => {
  const app = await describedApp('registry');
  const { paths } = JSON.parse(
    readFileSync(new URL('../../proto/openapi/registry.json', import.meta.url), 'utf8'),
  ) as { paths: Record<string, object> };
  expect(Object.keys(paths).filter((path) => path.startsWith('/api/'))).toEqual([]);
  // the README of the registry names each of them, once
  const named = mlflowSupport().map(({ endpoint }) => endpoint);
  const missing = named.filter((endpoint) => {
    const [method = '', url = ''] = endpoint.split(' ');
    return !app.hasRoute({ method: method as 'GET', url });
  });
  expect(missing).toEqual([]);
  const isWhole = (endpoint: string) => !endpoint.endsWith('*');
  expect(printedRoutes(app.printRoutes({ commonPrefix: false })).filter(isWhole)).toEqual(
    named.filter(isWhole).sort(),
  );
  const operations = Object.values(paths).flatMap((item) => Object.keys(item));
  // theirs are compiled beside those that are described
  expect(compileSchemas(app)).toBeGreaterThan(operations.length + 50);
  await app.close();
}, 60_000);

test.each([
  ['body', { body: { type: 'object', required: 'name' } }, 'the body of POST /faulty'],
  ['query', { querystring: { type: 'nothing' } }, 'the querystring of POST /faulty'],
  ['answer', { response: { 200: { $ref: '#/nowhere' } } }, 'answer 200 of POST /faulty'],
])('a faulty schema of %s is told with its route', async (_what, schema, told) => {
  const app = await createHttp({
    service: 'test',
    logger,
    metrics: createMetrics({ service: 'test', withDefaults: false }),
    auth: createAuth({ mode: 'local', keySet: createKeySetHolder(), logger }),
    readiness: {},
    openapi: { title: 'Test' },
  });
  app.post('/faulty', { config: { public: true }, schema: schema as never }, async () => 'ok');
  await app.ready();
  expect(() => compileSchemas(app)).toThrow(told);
  await app.close();
});
