import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { readBody } from '../../src/http/body-reader.ts';

const LIMIT_BYTES = 4 * 1024 * 1024;
const BODY_BYTES = 1_000_000;

function read(headers: Record<string, string>) {
  const payload = new PassThrough();
  let taken = 0;
  const memory = {
    take(bytes: number) {
      taken += bytes;
      return new ArrayBuffer(bytes);
    },
    release: () => undefined,
  };
  const body = readBody({ headers } as never, payload as never, LIMIT_BYTES, memory);
  return { payload, body, taken: () => taken };
}

test('chunks of a byte each take no more memory than the body does as it grows', async () => {
  const { payload, body, taken } = read({});
  for (let i = 0; i < BODY_BYTES; i += 1) payload.emit('data', Buffer.from([i % 251]));
  payload.emit('end');
  const bytes = await body;
  expect(bytes.length).toBe(BODY_BYTES);
  expect(bytes.every((byte, i) => byte === i % 251)).toBe(true);
  // doubled from 64 KiB on, the pieces add up to less than four times the body
  expect(taken()).toBeLessThan(4 * BODY_BYTES);
});

test('an announced length is taken once, aligned for the tensors behind the JSON', async () => {
  const { payload, body, taken } = read({ 'content-length': '103', 'inference-header-content-length': '3' });
  payload.write(Buffer.alloc(100, 1));
  payload.end(Buffer.alloc(3, 2));
  const bytes = await body;
  expect((bytes.byteOffset + 3) % 8).toBe(0);
  expect(taken()).toBeLessThan(103 + 8);
  expect(bytes[99]).toBe(1);
  expect(bytes[102]).toBe(2);
});
