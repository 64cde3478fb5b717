import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readAhead } from '../src/model-bundle/read-ahead.ts';

const MIB = 1024 * 1024;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-read-ahead-'));
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

describe('readAhead', () => {
  it.each([0, 1, 4_096, MIB, 5 * MIB + 7])('gives the whole content of a file of %i bytes', async (size) => {
    const { content, file } = await fileOf(size);
    const pieces: Buffer[] = [];
    for await (const piece of readAhead(file, size)) pieces.push(Buffer.from(piece));
    await file.close();
    expect(Buffer.concat(pieces).equals(content)).toBe(true);
  });

  it('leaves a piece as it is while the next is looked at', async () => {
    const { content, file } = await fileOf(6 * MIB);
    let at = 0;
    let before: Buffer = Buffer.alloc(0);
    for await (const piece of readAhead(file, content.length)) {
      // long enough for the read of the piece behind this one to end
      await file.stat();
      expect(before.equals(content.subarray(at - before.length, at))).toBe(true);
      at += piece.length;
      before = piece;
    }
    await file.close();
    expect(at).toBe(content.length);
  });

  it('reads on to the end of a file that is longer than was said', async () => {
    const { content, file } = await fileOf(10_000);
    let sizeBytes = 0;
    for await (const piece of readAhead(file, 3)) sizeBytes += piece.length;
    await file.close();
    expect(sizeBytes).toBe(content.length);
  });

  it('can be left in the middle, and the file closed', async () => {
    const { file } = await fileOf(4 * MIB);
    for await (const piece of readAhead(file, 4 * MIB)) {
      expect(piece.length).toBe(MIB);
      break;
    }
    await expect(file.close()).resolves.toBeUndefined();
  });
});

async function fileOf(size: number) {
  const content = randomBytes(size);
  const path = join(folder, `${size}`);
  await writeFile(path, content);
  return { content, file: await open(path) };
}
