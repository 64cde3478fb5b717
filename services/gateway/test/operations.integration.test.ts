import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Backend, Gateway } from './fixtures.ts';
import { startBackend, startGateway } from './fixtures.ts';

let ready: Backend;
let notReady: Backend;
let gateway: Gateway;

beforeAll(async () => {
  ready = await startBackend((request, response) => {
    const body =
      request.url === '/openapi.json'
        ? { paths: { '/predict': { post: {} }, '/metrics': { get: { wrong: true } } } }
        : { status: 'ok', version: '4.5.6', checks: {} };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  });
  notReady = await startBackend((_request, response) => {
    response.writeHead(503).end(JSON.stringify({ details: { failing: ['postgres'] } }));
  });
  gateway = await startGateway({
    mode: 'local',
    upstreams: { inference: ready.origin, monitoring: notReady.origin },
  });
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([ready.close(), notReady.close()]);
});

test('status tells ready, not ready and down apart', async () => {
  const response = await fetch(`${gateway.origin}/v1/status`);
  const body = (await response.json()) as { state: string; services: { name: string }[] };
  expect(body.state).toBe('degraded');
  const byName = Object.fromEntries(body.services.map((service) => [service.name, service]));
  expect(byName.gateway).toMatchObject({ state: 'ready', failing: [] });
  expect(byName.inference).toMatchObject({ state: 'ready', version: '4.5.6' });
  expect(byName.monitoring).toMatchObject({ state: 'not-ready', failing: ['postgres'] });
  expect(byName.datasets).toMatchObject({ state: 'down', latencyMs: null });
});

test('GET /health is the plain answer that older clients expect', async () => {
  expect(await (await fetch(`${gateway.origin}/health`)).json()).toEqual({ status: 'ok' });
});

test('the API document holds the paths of services that answer, and keeps its own operations', async () => {
  const document = (await (await fetch(`${gateway.origin}/openapi.json`)).json()) as {
    openapi: string;
    paths: Record<string, object>;
  };
  expect(document.openapi).toBe('3.1.0');
  expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/predict', '/v1/keys', '/v1/status']));
  expect(JSON.stringify(document.paths['/metrics'])).not.toContain('wrong');
});

describe('pages', () => {
  test.each([
    '/',
    '/docs',
    '/assets/app.js',
    '/assets/app.css',
    '/assets/swagger-ui-bundle.js',
    '/assets/icon.svg',
  ])('%s comes from here, under a strict policy, and is not sent twice', async (path) => {
    const first = await fetch(gateway.origin + path);
    expect(first.status).toBe(200);
    expect(first.headers.get('content-security-policy')).toContain("script-src 'self';");
    const etag = first.headers.get('etag') ?? '';
    const again = await fetch(gateway.origin + path, { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
  });

  test('every file that a page names is served', async () => {
    for (const page of ['/', '/docs']) {
      const html = await (await fetch(gateway.origin + page)).text();
      expect(html).not.toMatch(/https?:\/\//);
      for (const [, path] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
        expect((await fetch(gateway.origin + path)).status).toBe(200);
      }
      expect(html).not.toMatch(/<script(?![^>]*src=)/);
    }
  });
});

describe('dead letters', () => {
  test('are listed, sent again, and removed', async () => {
    const { bus, origin } = gateway;
    const subject = 'millrace.evt.gateway-test.happened.v1';
    const publish = async () =>
      (
        await bus.js.publish('millrace.dlq.gateway-test', 'payload', {
          headers: await headersOf(subject),
        })
      ).seq;
    const [first, second] = [await publish(), await publish()];
    const list = (await (await fetch(`${origin}/v1/dead-letters?after=${first - 1}&limit=2`)).json()) as {
      items: object[];
    };
    expect(list.items[0]).toMatchObject({ sequence: first, subject, code: 'internal', payload: 'payload' });
    const before = (await bus.jsm.streams.info('MILLRACE_EVENTS')).state.messages;
    expect((await fetch(`${origin}/v1/dead-letters/${first}/redrive`, { method: 'POST' })).status).toBe(204);
    expect((await bus.jsm.streams.info('MILLRACE_EVENTS')).state.messages).toBe(before + 1);
    expect((await fetch(`${origin}/v1/dead-letters/${second}`, { method: 'DELETE' })).status).toBe(204);
    for (const sequence of [first, second]) {
      const gone = await fetch(`${origin}/v1/dead-letters/${sequence}`);
      expect(await gone.json()).toMatchObject({ code: 'dead_letter_not_found', status: 404 });
    }
  });
});

async function headersOf(subject: string) {
  const { headers } = await import('@nats-io/transport-node');
  const made = headers();
  made.set('millrace-dlq-subject', subject);
  made.set('millrace-dlq-code', 'internal');
  made.set('millrace-dlq-deliveries', '10');
  return made;
}
