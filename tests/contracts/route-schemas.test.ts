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
import { compileSchemasOf, DESCRIBED_SERVICES } from '../../scripts/generate/openapi.ts';

const logger = createLogger({ service: 'test', level: 'silent' });

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
