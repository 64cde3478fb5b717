import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { sendThenRead } from '@millrace/testing';
import type { FastifyInstance } from 'fastify';
import { fastify } from 'fastify';
import type { DiscardBounds } from '../src/http/body-discard.ts';
import { addBodyDiscard } from '../src/http/body-discard.ts';

const MIB = 1024 ** 2;
/** More than the buffers of both ends hold. */
const LARGE_BYTES = 64 * MIB;
let app: FastifyInstance | undefined;
afterEach(async () => await app?.close());

/** A server that refuses every body once it saw its beginning. */
async function refusing(bounds?: DiscardBounds): Promise<string> {
  app = fastify();
  addBodyDiscard(app, bounds);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.post('/', async (request, reply) => {
    await new Promise((resolve) => request.raw.once('data', resolve));
    request.raw.pause();
    return await reply.code(413).send('too large');
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`;
}

test.each([
  ['keeps the connection', {}],
  ['asks for its end', { connection: 'close' }],
])(
  'a client that %s and reads only when it has sent all gets the answer, every time',
  async (_who, headers) => {
    const url = await refusing();
    for (let i = 0; i < 3; i += 1)
      expect(await sendThenRead(url, { headers, sizeBytes: LARGE_BYTES })).toEqual({
        status: 413,
        body: 'too large',
      });
  },
);

test.each<[string, Partial<DiscardBounds>]>([
  ['more than the bound', { bytesMax: 8 * MIB }],
  ['longer than the bound', { timeoutMs: 0 }],
])('who sends %s is cut off', async (_what, less) => {
  const url = await refusing({
    bytesMax: Number.POSITIVE_INFINITY,
    timeoutMs: 5_000,
    idleMs: 5_000,
    ...less,
  });
  await expect(sendThenRead(url, { sizeBytes: 512 * MIB })).rejects.toMatchObject({
    code: expect.stringMatching(/^(EPIPE|ECONNRESET)$/),
  });
});

test('a sender that stops reads the answer and is cut off', async () => {
  const url = await refusing({ bytesMax: LARGE_BYTES, timeoutMs: 5_000, idleMs: 50 });
  const part = new ReadableStream({ start: (stream) => stream.enqueue(new Uint8Array(MIB)) });
  const response = await fetch(url, { method: 'POST', body: part, duplex: 'half' } as RequestInit);
  expect([response.status, await response.text()]).toEqual([413, 'too large']);
});
