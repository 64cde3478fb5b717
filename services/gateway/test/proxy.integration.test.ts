import { createHash, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sendThenRead } from '@millrace/testing';
import type { Backend, Gateway } from './fixtures.ts';
import { startBackend, startGateway } from './fixtures.ts';

const MIB = 1024 * 1024;
let backend: Backend;
let gateway: Gateway;
/** What the service behind saw of the last request. */
let seen: { method: string; url: string; headers: IncomingHttpHeaders; sha256: string; sizeBytes: number };
let aborted = 0;

function answer(request: IncomingMessage, response: ServerResponse): void {
  const name = /^\/v1\/training\/jobs\/(\w+)/.exec(request.url ?? '')?.[1];
  if (name === 'sse') events(response);
  else if (name === 'half') half(response);
  else if (name === 'down') download(response);
  else if (request.url === '/model/refused') refuse(request, response);
  else record(request, response);
}

function refuse(request: IncomingMessage, response: ServerResponse): void {
  const body = '{"code":"unknown_field"}';
  request.once('data', () => response.writeHead(400, { 'content-length': body.length }).end(body)).resume();
}

function half(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': '100' }).write('half');
  setTimeout(() => response.destroy(), 20);
}

function record(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  request.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    sizeBytes += chunk.length;
  });
  request.on('close', () => {
    if (!request.complete) aborted += 1;
  });
  request.on('end', () => {
    const { method = '', url = '', headers } = request;
    seen = { method, url, headers, sha256: hash.digest('hex'), sizeBytes };
    response.setHeader('x-powered-by', 'test').setHeader('connection', 'x-secret').setHeader('x-secret', '1');
    response.writeHead(url.includes('missing') ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ sizeBytes }));
  });
}

/** Lets the event stream send its second event. */
let release = (): void => undefined;

function events(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: 1\n\n');
  release = () => void response.write('data: 2\n\n');
}

function download(response: ServerResponse): void {
  let left = 200;
  const write = (): void => {
    while (left > 0) {
      left -= 1;
      if (!response.write(Buffer.alloc(MIB))) return void response.once('drain', write);
    }
    response.end();
  };
  response.on('close', () => {
    if (left > 0) aborted += 1;
  });
  write();
}

beforeAll(async () => {
  backend = await startBackend(answer);
  const { origin } = backend;
  gateway = await startGateway({
    mode: 'local',
    upstreams: { 'training-orchestrator': origin, registry: origin, inference: origin },
    uploadBytesMax: 40 * MIB,
  });
});
afterAll(async () => {
  await gateway.close();
  await backend.close();
});

describe('bodies', () => {
  test('30 MiB flow through, with and without a stated length', async () => {
    const bytes = randomBytes(30 * MIB);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    for (const body of [bytes, new Blob([bytes]).stream()]) {
      const response = await fetch(`${gateway.origin}/model/upload`, {
        method: 'POST',
        body,
        duplex: 'half',
      } as RequestInit);
      expect(await response.json()).toEqual({ sizeBytes: bytes.length });
      expect(seen.sha256).toBe(sha256);
    }
  });

  test('over the bound: 413 with and without a stated length', async () => {
    const bytes = Buffer.alloc(41 * MIB);
    const stated = await fetch(`${gateway.origin}/model/upload`, { method: 'POST', body: bytes });
    expect(stated.status).toBe(413);
    expect(await stated.json()).toMatchObject({
      code: 'payload_too_large',
      details: { limitBytes: 40 * MIB },
    });
    const status = await new Promise((resolve, reject) => {
      const request = httpRequest(`${gateway.origin}/model/upload`, { method: 'POST' }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', reject);
      for (let sent = 0; sent < 41; sent++) request.write(Buffer.alloc(MIB));
      request.end();
    });
    expect(status).toBe(413);
    // The connection is not stuck behind the body that nobody wanted.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let round = 0; round < 3; round++) expect(await refusedUpload(agent)).toBe(413);
    agent.destroy();
  });

  test.each(['keep-alive', 'close'])(
    'what a service refuses at once reaches who sends all before reading (connection: %s)',
    async (connection) => {
      const sent = { headers: { connection }, sizeBytes: 36 * MIB };
      expect(await sendThenRead(`${gateway.origin}/model/refused`, sent)).toEqual({
        status: 400,
        body: '{"code":"unknown_field"}',
      });
    },
  );

  test('a client that goes away half way ends the request behind', async () => {
    const before = aborted;
    const socket = connect(gateway.port, '127.0.0.1');
    socket.write('POST /model/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n');
    socket.write(Buffer.alloc(1000));
    await new Promise((resolve) => setTimeout(resolve, 150));
    socket.destroy();
    await expectSoon(() => aborted > before);
  });

  test('a client that leaves a download stops it at its source', async () => {
    const before = aborted;
    const controller = new AbortController();
    const response = await fetch(`${gateway.origin}/v1/training/jobs/down`, { signal: controller.signal });
    await response.body?.getReader().read();
    controller.abort();
    await expectSoon(() => aborted > before);
  });

  test('server-sent events arrive as they are sent', async () => {
    const response = await fetch(`${gateway.origin}/v1/training/jobs/sse`);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('data: 1\n\n');
    release();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('data: 2\n\n');
    // The stream stays open: closing the gateway at the end of this file must not wait for it.
  });
});

describe('headers', () => {
  test('what belongs to a connection or could deceive stays behind; ids and keys go on', async () => {
    const answered = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(
        `${gateway.origin}/v1/training/jobs/a%2Fb?limit=2&x=%20`,
        {
          headers: {
            host: 'localhost:1',
            'x-forwarded-for': '8.8.8.8',
            'x-forwarded-host': 'evil',
            forwarded: 'for=8.8.8.8',
            connection: 'keep-alive, x-drop',
            'x-drop': '1',
            'x-request-id': 'my-request-1',
            traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
          },
        },
        (response) => {
          response.resume();
          response.once('end', () => resolve(response));
        },
      )
        .on('error', reject)
        .end();
    });
    expect(seen.url).toBe('/v1/training/jobs/a%2Fb?limit=2&x=%20');
    expect(seen.headers).toMatchObject({
      'x-request-id': 'my-request-1',
      host: backend.origin.slice('http://'.length),
    });
    expect(seen.headers.traceparent).toContain('0af7651916cd43dd8448eb211c80319c');
    for (const name of ['x-forwarded-for', 'x-forwarded-host', 'forwarded', 'x-drop'])
      expect(seen.headers).not.toHaveProperty(name);
    expect(answered.headers['x-request-id']).toBe('my-request-1');
    expect(answered.headers).not.toHaveProperty('x-secret');
  });

  test('status and method are those of the service', async () => {
    const response = await fetch(`${gateway.origin}/v1/training/jobs/missing`, { method: 'DELETE' });
    expect(response.status).toBe(404);
    expect(seen.method).toBe('DELETE');
  });

  test('another Host or Origin is refused before anything is forwarded', async () => {
    const status = await new Promise((resolve, reject) => {
      httpRequest(
        `${gateway.origin}/v1/training/jobs/x`,
        { headers: { host: 'rebound.example' } },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      )
        .on('error', reject)
        .end();
    });
    expect(status).toBe(421);
    const crossSite = await fetch(`${gateway.origin}/predict`, {
      method: 'POST',
      body: '{}',
      headers: { origin: 'https://evil.example' },
    });
    expect(crossSite.status).toBe(421);
  });
});

describe('a service that fails', () => {
  test('is named when it is down', async () => {
    const response = await fetch(`${gateway.origin}/v1/conversions`);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({
      code: 'dependency_unavailable',
      details: { service: 'converter' },
    });
  });

  test('half an answer is never a whole one', async () => {
    const response = await fetch(`${gateway.origin}/v1/training/jobs/half`);
    await expect(response.text()).rejects.toThrow();
  });

  test('a kept connection that the service closed is replaced unnoticed', async () => {
    await fetch(`${gateway.origin}/v1/training/jobs/a`);
    backend.server.closeIdleConnections();
    const answers = await Promise.all([1, 2, 3].map(() => fetch(`${gateway.origin}/v1/training/jobs/a`)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  });
});

async function refusedUpload(agent: Agent): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(`${gateway.origin}/model/upload`, { method: 'POST', agent }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode));
    }).on('error', reject);
    for (let sent = 0; sent < 42; sent++) request.write(Buffer.alloc(MIB));
    request.end();
  });
}

async function expectSoon(check: () => boolean): Promise<void> {
  const endMs = performance.now() + 3_000;
  while (!check() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(check()).toBe(true);
}
