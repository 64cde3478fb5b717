import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { HttpApp } from '../src/index.ts';
import {
  createApiKey,
  createAuth,
  createHttp,
  createKeySetHolder,
  createLogger,
  createMetrics,
} from '../src/index.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const made = createApiKey();
let app: HttpApp;

beforeAll(async () => {
  const keySet = createKeySetHolder();
  const record = {
    id: made.id,
    sha256: made.sha256,
    principal: 'ann',
    tenant: 'acme',
    expiresAt: null,
    revokedAt: null,
  };
  keySet.replace({ issuedAt: new Date().toISOString(), keys: [{ ...record, scopes: ['train'] }] });
  app = await createHttp({
    service: 'test',
    logger,
    metrics: createMetrics({ service: 'test', withDefaults: false }),
    auth: createAuth({ mode: 'required', keySet, logger }),
    readiness: {},
    openapi: { title: 'Test' },
  });
  const who = async ({ principal }: { principal: { id: string; tenant: string } }) => principal;
  app.get('/tools', { config: { scope: 'train', basicAuth: true } }, who);
  app.get('/read', { config: { scope: 'models:read', basicAuth: true } }, who);
  app.get('/plain', { config: { scope: 'train' } }, who);
});
afterAll(() => app.close());

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;
const get = (url: string, authorization: string) => app.inject({ url, headers: { authorization } });

test('a route that says so takes the key as the password of HTTP Basic, whatever the user', async () => {
  for (const user of ['', 'ann', 'grün'])
    expect((await get('/tools', basic(`${user}:${made.key}`))).json()).toMatchObject({
      id: 'ann',
      tenant: 'acme',
    });
  expect((await get('/tools', `Bearer ${made.key}`)).statusCode).toBe(200);
  expect((await get('/read', basic(`ann:${made.key}`))).json()).toMatchObject({ code: 'scope_missing' });
});

test('other routes do not, and nothing else is let in', async () => {
  const refused = [
    ['/plain', basic(`ann:${made.key}`)],
    ['/tools', basic(`ann:${made.key.slice(0, -1)}`)],
    ['/tools', basic(`ann:${createApiKey().key}`)],
    ['/tools', basic(`${made.key}:`)],
    ['/tools', basic(made.key)],
    ['/tools', basic('ann:Bearer')],
    ['/tools', `Basic ${made.key}`],
    ['/tools', `Basic ${'A'.repeat(30_000)}`],
    ['/tools', 'Basic'],
  ] as const;
  for (const [url, authorization] of refused) {
    const answer = await get(url, authorization);
    expect([url, answer.statusCode, answer.json().code]).toEqual([url, 401, 'auth_required']);
  }
});
