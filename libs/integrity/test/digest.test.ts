import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect, test } from '@jest/globals';
import { createDigestTransform, digestFile, digestStream, isSha256, sha256Hex } from '../src/index.ts';

const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

test('a file, a stream and a pass-through agree with the known digest', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'digest-'));
  try {
    await writeFile(join(folder, 'abc'), 'abc');
    expect(await digestFile(join(folder, 'abc'))).toEqual({ sha256: ABC, sizeBytes: 3 });
    await expect(digestFile(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
  } finally {
    await rm(folder, { recursive: true });
  }
  expect(sha256Hex('abc')).toBe(ABC);
  expect(await digestStream(Readable.from([Buffer.from('a'), Buffer.from('bc')]))).toEqual({
    sha256: ABC,
    sizeBytes: 3,
  });

  const transform = createDigestTransform();
  const seen: Buffer[] = [];
  expect(() => transform.result()).toThrow(/after the stream has ended/);
  await pipeline(Readable.from([Buffer.from('ab'), Buffer.from('c')]), transform, async (chunks) => {
    for await (const chunk of chunks) seen.push(chunk as Buffer);
  });
  expect(Buffer.concat(seen).toString()).toBe('abc');
  expect(transform.result()).toEqual({ sha256: ABC, sizeBytes: 3 });
});

test('only 64 lower-case hex digits are a digest', () => {
  expect(isSha256(ABC)).toBe(true);
  for (const no of [ABC.toUpperCase(), ABC.slice(1), `${ABC}0`, `${ABC}\n`, '', 5, null])
    expect(isSha256(no)).toBe(false);
});
