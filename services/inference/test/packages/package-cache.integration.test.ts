import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Storage } from '@millrace/storage';
import { createStorage } from '@millrace/storage';
import type { TestBucket } from '@millrace/testing';
import { createTestBucket } from '@millrace/testing';
import { createPackageCache } from '../../src/packages/package-cache.ts';

const FILE_BYTES = 1_000;
const KEPT_FILES = 5;

let bucket: TestBucket;
let storage: Storage;
let folder: string;

beforeAll(async () => {
  bucket = await createTestBucket();
  storage = createStorage(bucket);
  folder = mkdtempSync(join(tmpdir(), 'package-cache-'));
});

afterAll(async () => {
  storage.close();
  await bucket.drop();
  rmSync(folder, { recursive: true });
});

const open = () => createPackageCache({ folder, bytesMax: KEPT_FILES * FILE_BYTES, storage });
const onDisk = (): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => basename(entry.name))
    .sort();

async function stored(count: number): Promise<string[]> {
  const blobs = Array.from({ length: count }, () => storage.putBlob(randomBytes(FILE_BYTES)));
  return (await Promise.all(blobs)).map(({ sha256 }) => sha256);
}

test('the files used longest ago leave, also after a restart; those in use stay', async () => {
  const [first, ...rest] = (await stored(8)) as [string, ...string[]];
  const cache = open();
  await cache.fetch(first);
  for (const sha256 of rest.slice(0, 4)) await cache.fetch(sha256);
  await cache.fetch(first);
  for (const sha256 of rest.slice(4)) await cache.fetch(sha256);
  // the eighth is the newest, the first was used again
  expect(onDisk()).toEqual([first, ...rest.slice(3)].sort());

  const again = open();
  const [more] = (await stored(1)) as [string];
  await again.fetch(more);
  expect(onDisk()).toEqual([first, ...rest.slice(4), more].sort());
});

test('a file that is discarded or was deleted is fetched again, and counted once', async () => {
  const [one, ...others] = (await stored(KEPT_FILES)) as [string, ...string[]];
  const cache = open();
  const path = await cache.fetch(one);
  const bytes = readFileSync(path);
  await cache.discard(one);
  rmSync(await cache.fetch(one));
  const [here, there] = await Promise.all([cache.fetch(one), cache.fetch(one)]);
  expect(readFileSync(here)).toEqual(bytes);
  expect(there).toBe(path);
  for (const sha256 of others) await cache.fetch(sha256);
  expect(onDisk()).toEqual([one, ...others].sort());
});
