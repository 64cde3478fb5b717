import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createApiKey } from '../src/auth/api-key.ts';
import { createAuth } from '../src/auth/auth.ts';
import { createKeySetHolder } from '../src/auth/key-set-client.ts';
import type { ExpressRoute } from '../src/express/express-lane.ts';
import { openExpressLane } from '../src/express/express-lane.ts';
import type { HttpApp } from '../src/http/create-http.ts';
import { createHttp } from '../src/http/create-http.ts';
import { listenHttp } from '../src/http/listen.ts';
import { createLogger } from '../src/logger.ts';
import { createMetrics } from '../src/metrics.ts';
import { createTokenIssuer } from './fixtures/token-issuer.ts';

const BODY_BYTES_MAX = 200_000;
/** What a caller sends at once is here before such an answer is given. */
const LATE_MS = 100;
const logger = createLogger({ service: 'test-service', level: 'silent' as 'fatal' });
const made = createApiKey('key1');
const held = { leases: 0, arrived: Promise.withResolvers<void>(), go: Promise.withResolvers<void>() };

const route: ExpressRoute = {
  url: '/echo/:name',
  path: /^\/echo\/([A-Za-z0-9._~-]+)$/,
  scope: 'predict',
  bodyBytesMax: BODY_BYTES_MAX,
  accepts: (headers) => headers['content-type'] !== 'text/plain',
  lease() {
    held.leases += 1;
    return {
      take: (bytes) => new ArrayBuffer(bytes),
      release: () => {
        held.leases -= 1;
      },
    };
  },
  async answer({ params, body }) {
    if (params[0] === 'slow') {
      held.arrived.resolve();
      await held.go.promise;
    }
    if (params[0] === 'late') await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    if (params[0] === 'fails') throw new Error('as asked');
    const answer = params[0] === 'binary' ? Buffer.from(body) : `lane ${params[0]} ${body.toString()}`;
    return { status: 200, headers: ['content-type', 'text/plain'], body: answer };
  },
  refuse: (_error, id) => ({ status: 500, headers: [], body: `refused ${id}` }),
};

const issuer = createTokenIssuer();

async function build(): Promise<HttpApp> {
  const keySet = createKeySetHolder();
  keySet.replace({
    issuedAt: new Date().toISOString(),
    keys: [
      {
        id: made.id,
        sha256: made.sha256,
        principal: 'somebody',
        tenant: 'default',
        scopes: ['predict', 'operate'],
        expiresAt: null,
        revokedAt: null,
      },
    ],
    identities: { tenants: ['default'], disabled: [], issuers: [issuer.record] },
  });
  const app = await createHttp({
    service: 'test-service',
    logger,
    metrics: createMetrics({ service: 'test-service', withDefaults: false }),
    auth: createAuth({ mode: 'required', keySet, logger }),
    bodyLimitBytes: BODY_BYTES_MAX,
    readiness: {},
    openapi: { title: 'Test' },
    express: [route],
  });
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.post<{ Params: { name: string } }>(
    '/echo/:name',
    { config: { scope: 'predict' } },
    async ({ params, body }) => `complete ${params.name} ${body ?? ''}`,
  );
  return app;
}

let app: HttpApp;
let port: number;
beforeAll(async () => {
  app = await build();
  ({ port } = await listenHttp(app, { host: '127.0.0.1', port: 0, authMode: 'required', logger }));
});
afterAll(async () => await app.close());

type Reply = { status: number; head: string; body: string };

/** Takes whole answers off the front of what came. */
function repliesOf(text: string): Reply[] {
  const replies: Reply[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return replies;
    const head = rest.slice(0, end);
    if (/^HTTP\/1\.1 100 /.test(head)) {
      rest = rest.slice(end + 4);
      continue;
    }
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (rest.length < end + 4 + length) return replies;
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]);
    replies.push({ status, head, body: rest.slice(end + 4, end + 4 + length) });
    rest = rest.slice(end + 4 + length);
  }
}

/** Sends pieces, each on its own, and gives the first `count` answers, or those before the connection ended. */
async function talk(pieces: readonly string[], count = 1, options: { end?: boolean } = {}): Promise<Reply[]> {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  socket.setEncoding('latin1');
  const replies = new Promise<Reply[]>((resolve, reject) => {
    let text = '';
    const look = (isOver: boolean) => {
      const found = repliesOf(text);
      if (found.length >= count || isOver) resolve(found);
    };
    socket.on('data', (chunk: string) => {
      text += chunk;
      look(false);
    });
    socket.on('end', () => look(true)).on('error', reject);
  });
  for (const piece of pieces) {
    await new Promise<void>((resolve) => socket.write(piece, 'latin1', () => resolve()));
    if (pieces.length > 1) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  if (options.end === true) socket.end();
  try {
    return await replies;
  } finally {
    socket.destroy();
  }
}

const AUTHORIZATION = `authorization: Bearer ${made.key}\r\n`;
function request(
  name: string,
  body = 'x',
  more = '',
  { line = `POST /echo/${name} HTTP/1.1`, authorization = AUTHORIZATION } = {},
): string {
  return `${line}\r\nhost: 127.0.0.1\r\n${authorization}${more}content-length: ${body.length}\r\n\r\n${body}`;
}

describe('the express lane', () => {
  test('answers a plain request, with what every answer has, and counts it', async () => {
    const [reply] = await talk([request('a', 'body', 'X-Request-Id: given-id-1\r\n')]);
    expect(reply).toMatchObject({ status: 200, body: 'lane a body' });
    const names = ['x-request-id: given-id-1', 'x-content-type-options: nosniff', 'Date: ', 'Keep-Alive: '];
    for (const name of names) expect(reply?.head).toContain(name);
    const headers = { authorization: `Bearer ${made.key}` };
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`, { headers })).text();
    expect(text).toMatch(/http_request_seconds_count\{[^}]*route="\/echo\/:name"[^}]*\} [1-9]/);
  });

  test('a fault of the handler is answered, and the connection stays', async () => {
    const replies = await talk([request('fails') + request('a')], 2);
    expect(replies.map(({ status }) => status)).toEqual([500, 200]);
  });

  test('leaves a token that is new to the complete server, and answers it on later connections', async () => {
    const authorization = `authorization: Bearer ${issuer.token()}\r\n`;
    const ask = async () => (await talk([request('a', 'x', '', { authorization })]))[0]?.body;
    expect([await ask(), await ask(), await ask()]).toEqual(['complete a x', 'lane a x', 'lane a x']);
    const forged = { authorization: authorization.replace(/..\r\n$/, 'AA\r\n') };
    expect((await talk([request('a', 'x', '', forged)]))[0]).toMatchObject({ status: 401 });
  });

  test('text outside ASCII and bytes arrive as they are', async () => {
    const utf8 = Buffer.from('Grüße').toString('latin1');
    expect((await talk([request('a', utf8)]))[0]?.body).toBe(`lane a ${utf8}`);
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 256)).toString('latin1');
    expect((await talk([request('binary', bytes)]))[0]?.body).toBe(bytes);
  });

  test('one request after the other, and several at once, are answered in their order', async () => {
    const all = ['a', 'b', 'c'].map((name) => request(name));
    const expected = ['lane a x', 'lane b x', 'lane c x'];
    expect((await talk(all, 3)).map(({ body }) => body)).toEqual(expected);
    expect((await talk([all.join('')], 3)).map(({ body }) => body)).toEqual(expected);
    expect((await talk([all.join('')], 3, { end: true })).map(({ body }) => body)).toEqual(expected);
  });

  test('however a stream of requests is cut, the answers are the same', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ isOdd: fc.boolean(), body: fc.string({ unit: 'grapheme-ascii', maxLength: 50 }) }),
          {
            minLength: 1,
            maxLength: 4,
          },
        ),
        fc.array(fc.nat(400), { maxLength: 5 }),
        async (sent, cuts) => {
          const text = sent
            .map(({ isOdd, body }, i) => request(`n${i}`, body, isOdd ? 'content-type: text/plain\r\n' : ''))
            .join('');
          const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
          const pieces = places.slice(1).map((place, i) => text.slice(places[i], place));
          const replies = await talk(
            pieces.filter((piece) => piece !== ''),
            sent.length,
          );
          expect(replies.map(({ body }) => body.replace(/^(lane|complete) /, ''))).toEqual(
            sent.map(({ body }, i) => `n${i} ${body}`),
          );
        },
      ),
      { numRuns: 60 },
    );
    expect(held.leases).toBe(0);
  }, 60_000);

  test('what went to the complete server stays there', async () => {
    const odd = request('a', 'x', 'content-type: text/plain\r\n');
    const replies = await talk([request('a'), odd, request('b')], 3);
    expect(replies.map(({ body }) => body)).toEqual(['lane a x', 'complete a x', 'complete b x']);
  });

  test.each<[string, (taken: string, odd: string) => string[]]>([
    ['all in one piece', (taken, odd) => [taken + odd]],
    ['behind the end of a body', (taken, odd) => [taken.slice(0, -1), `x${odd}`]],
    ['each in a piece of its own', (taken, odd) => [taken, odd]],
  ])(
    'who says that no more comes gets what the lane took whole, whatever is behind it: %s',
    async (_what, cut) => {
      const body = 'x'.repeat(BODY_BYTES_MAX);
      const odd = request('b', 'x', 'content-type: text/plain\r\n');
      // the end of the connection is what is waited for
      const [first, ...others] = await talk(cut(request('late', body), odd), 3, { end: true });
      expect(first).toMatchObject({ status: 200, body: `lane late ${body}` });
      expect(others.map((reply) => reply.body)).toEqual(others.length === 0 ? [] : ['complete b x']);
      expect(held.leases).toBe(0);
      expect((await talk([request('a')]))[0]?.body).toBe('lane a x');
    },
  );

  test.each<[string, string[], number, RegExp]>([
    ['a head in two pieces', [request('a').slice(0, 30), request('a').slice(30)], 200, /^complete a x/],
    ['a query', [request('', 'x', '', { line: 'POST /echo/a?b=c HTTP/1.1' })], 200, /^complete a x/],
    ['an encoded path', [request('', 'x', '', { line: 'POST /echo/%61 HTTP/1.1' })], 200, /^complete a x/],
    ['HTTP/1.0', [request('', 'x', '', { line: 'POST /echo/a HTTP/1.0' })], 200, /^complete a x/],
    ['an end after the answer', [request('a', 'x', 'connection: close\r\n')], 200, /^complete a x/],
    ['a request for permission', [request('a', 'x', 'expect: 100-continue\r\n')], 200, /^complete a x/],
    ['a type that is not for it', [request('a', 'x', 'content-type: text/plain\r\n')], 200, /^complete/],
    ['no key', [request('a').replace(AUTHORIZATION, '')], 401, /auth_required/],
    ['a wrong key', [request('a').replace(made.key, createApiKey('key1').key)], 401, /auth_required/],
    ['too large a body', [request('a', 'x'.repeat(BODY_BYTES_MAX + 1))], 413, /payload_too_large/],
    ['no such route', [request('', 'x', '', { line: 'POST /other HTTP/1.1' })], 404, /route_not_found/],
    ['no host', [request('a').replace('host: 127.0.0.1\r\n', '')], 400, /./],
    ['two lengths', [request('a', 'x', 'content-length: 5\r\n')], 400, /./],
    ['two lengths in one', [request('a').replace('content-length: 1', 'content-length: 1, 1')], 400, /./],
    ['a signed length', [request('a').replace('content-length: 1', 'content-length: +1')], 400, /./],
    ['a length and chunks', [request('a', '0\r\n\r\n', 'transfer-encoding: chunked\r\n')], 400, /./],
    ['a folded header', [request('a', 'x', 'x-a: b\r\n c: d\r\n')], 400, /./],
    ['space before the colon', [request('a', 'x', 'x-a : b\r\n')], 400, /./],
    ['a bare line feed', [request('a', 'x', 'x-a: b\nx-b: c\r\n')], 400, /./],
    ['a control character', [request('a', 'x', 'x-a: b\0c\r\n')], 400, /./],
  ])('leaves %s to the complete server', async (_what, pieces, status, body) => {
    const [reply] = await talk(pieces);
    expect(reply?.status).toBe(status);
    expect(reply?.body).not.toMatch(/^lane/);
    if (status !== 400) expect(reply?.body).toMatch(body);
  });

  test('a chunked body after a plain request', async () => {
    const head = `POST /echo/b HTTP/1.1\r\nhost: h\r\n${AUTHORIZATION}transfer-encoding: chunked\r\n\r\n`;
    const replies = await talk([request('a'), `${head}3\r\nabc\r\n0\r\n\r\n`, request('c')], 3);
    expect(replies.map(({ body }) => body)).toEqual(['lane a x', 'complete b abc', 'complete c x']);
  });

  test('who leaves in the middle of a body leaves nothing behind', async () => {
    const whole = request('a', 'x'.repeat(100_000));
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve) => socket.write(whole.slice(0, 50_000), () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(held.leases).toBe(1);
    socket.destroy();
    while (held.leases > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });
});

test('an end answers what is in hand and closes idle connections', async () => {
  const other = await build();
  const listening = await listenHttp(other, { host: '127.0.0.1', port: 0, authMode: 'required', logger });
  const idle = connect(listening.port, '127.0.0.1');
  await new Promise((resolve) => idle.once('connect', resolve));
  const isIdleOver = new Promise((resolve) => idle.once('end', resolve));
  idle.resume();
  const before = port;
  port = listening.port;
  const slow = talk([request('slow')]);
  port = before;
  await held.arrived.promise;
  const closing = other.close();
  await isIdleOver;
  held.go.resolve();
  const [reply] = await slow;
  expect(reply).toMatchObject({ status: 200, body: 'lane slow x' });
  expect(reply?.head).toContain('Connection: close');
  await closing;
});

test('idle connections and bodies that do not come are cut off', async () => {
  const { createServer } = await import('node:http');
  const server = createServer();
  const lane = openExpressLane({
    server,
    routes: [route],
    auth: {
      mode: 'local',
      authenticate: () => ({ id: 'a', tenant: 'default', scopes: ['predict'] }),
      authorize: () => undefined,
      quotaOf: () => ({}),
    },
    idOf: () => 'id',
    observe: () => undefined,
    keepAliveMs: 1_000,
    requestTimeoutMs: 1_000,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as { port: number };
  const idle = connect(own, '127.0.0.1');
  const slow = connect(own, '127.0.0.1');
  slow.write(request('a', 'x'.repeat(1_000)).slice(0, -10));
  await Promise.all([idle, slow].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  while (held.leases > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  lane.destroy();
  server.close();
});
