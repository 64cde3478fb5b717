import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AppError } from '@millrace/contracts';
import type { FaultProxy, TestBucket } from '@millrace/testing';
import { createFaultProxy, createTestBucket } from '@millrace/testing';
import { createClient } from '../src/client.ts';
import type { Storage } from '../src/index.ts';
import { blobKey, createStorage } from '../src/index.ts';

const MIB = 1024 * 1024;
let bucket: TestBucket;
let storage: Storage;
let folder: string;

beforeAll(async () => {
  bucket = await createTestBucket();
  folder = await mkdtemp(join(tmpdir(), 'millrace-storage-test-'));
  storage = createStorage({ ...bucket, spoolDir: folder });
});
afterAll(async () => {
  storage.close();
  await bucket.drop();
  await rm(folder, { recursive: true });
});

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A stream of these bytes in pieces of 64 KiB. */
function streamOf(bytes: Buffer): Readable {
  const pieces = Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, i) =>
    bytes.subarray(i * 65_536, (i + 1) * 65_536),
  );
  return Readable.from(pieces);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'none',
    (error: unknown) => (error as AppError).code,
  );
}

/** Puts other bytes where a blob is, as a broken disk or an intruder would. */
async function overwrite(sha256: string, bytes: Buffer): Promise<void> {
  const client = createClient(bucket);
  await client.send(new PutObjectCommand({ Bucket: bucket.bucket, Key: blobKey(sha256), Body: bytes }));
  client.destroy();
}

describe('putBlob and getBlob', () => {
  test.each([
    ['nothing', 0],
    ['a few bytes', 11],
    ['more than is held in memory', 5 * MIB + 3],
    ['more than one request takes', 20 * MIB + 1],
  ])('%s comes back, as a stream, a buffer and a file', async (_name, size) => {
    const bytes = randomBytes(size);
    const ref = await storage.putBlob(streamOf(bytes));
    expect(ref).toEqual({ sha256: sha256Of(bytes), sizeBytes: size });
    expect(await storage.hasBlob(ref.sha256)).toBe(true);
    expect(bytes.equals(await storage.getBlobBuffer(ref.sha256))).toBe(true);
    const file = join(folder, 'deep', `${size}.bin`);
    await storage.downloadBlob(ref.sha256, file);
    expect(bytes.equals(await readFile(file))).toBe(true);
    expect((await storage.headObject(blobKey(ref.sha256)))?.sizeBytes).toBe(size);
    await rm(file);
    expect(await readdir(join(folder, 'deep'))).toEqual([]);
    expect((await readdir(folder)).filter((name) => name.includes('spool'))).toEqual([]);
  });

  test('the same bytes many times at once, in one and in many parts, make one blob', async () => {
    for (const bytes of [randomBytes(1000), randomBytes(17 * MIB)]) {
      const refs = await Promise.all(Array.from({ length: 5 }, () => storage.putBlob(bytes)));
      expect(new Set(refs.map((ref) => ref.sha256))).toEqual(new Set([sha256Of(bytes)]));
      expect(bytes.equals(await storage.getBlobBuffer(sha256Of(bytes)))).toBe(true);
    }
  });

  test('a blob that is there is not written again', async () => {
    const bytes = randomBytes(1000);
    const { sha256 } = await storage.putBlob(bytes);
    const client = createClient(bucket);
    const at = new HeadObjectCommand({ Bucket: bucket.bucket, Key: blobKey(sha256) });
    const before = await client.send(at);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await storage.putBlob(bytes);
    expect((await client.send(at)).LastModified).toEqual(before.LastModified);
    client.destroy();
  });

  test('a source that is not what was announced, is too large or breaks off writes nothing', async () => {
    const bytes = randomBytes(6 * MIB);
    const sha256 = sha256Of(bytes);
    expect(await codeOf(storage.putBlob(bytes, { sha256: sha256Of(Buffer.from('x')) }))).toBe(
      'checksum_mismatch',
    );
    expect(await codeOf(storage.putBlob(streamOf(bytes), { sizeBytes: bytes.length + 1 }))).toBe(
      'checksum_mismatch',
    );
    expect(await codeOf(storage.putBlob(streamOf(bytes), { maxBytes: 5 * MIB }))).toBe('payload_too_large');
    const broken = Readable.from(
      (async function* () {
        yield bytes;
        throw new Error('the client went away');
      })(),
    );
    await expect(storage.putBlob(broken)).rejects.toThrow('the client went away');
    expect(await storage.hasBlob(sha256)).toBe(false);
    expect((await readdir(folder)).filter((name) => name.includes('spool'))).toEqual([]);
  });
});

describe('damage', () => {
  test.each([
    [
      'changed',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]),
    ],
    ['cut short', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['made longer', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')])],
  ])('a blob that was %s is never given as a whole, and putting it again heals it', async (_name, damage) => {
    const bytes = randomBytes(300_000);
    const { sha256 } = await storage.putBlob(bytes);
    await overwrite(sha256, damage(bytes));
    expect(await codeOf(storage.getBlobBuffer(sha256))).toBe('artifact_corrupt');
    const file = join(folder, 'damaged.bin');
    expect(await codeOf(storage.downloadBlob(sha256, file))).toBe('artifact_corrupt');
    expect(await readdir(folder)).not.toContain('damaged.bin');
    await storage.putBlob(bytes);
    expect(bytes.equals(await storage.getBlobBuffer(sha256))).toBe(true);
  });

  test('a missing blob and a digest that is none', async () => {
    expect(await codeOf(storage.getBlob(sha256Of(Buffer.from('never stored'))))).toBe('artifact_missing');
    expect(await storage.hasBlob(sha256Of(Buffer.from('never stored')))).toBe(false);
    expect(await codeOf(storage.getBlob('../../etc/passwd'))).toBe('bad_id');
  });

  test('more than the bound is not read into memory', async () => {
    const { sha256 } = await storage.putBlob(randomBytes(100_000));
    expect(await codeOf(storage.getBlobBuffer(sha256, { maxBytes: 99_999 }))).toBe('payload_too_large');
  });
});

describe('plain keys', () => {
  test('lists objects by prefix, and reads part of one while it is the one that was listed', async () => {
    for (const name of ['b', 'a', 'c'])
      await storage.putObject(`ranges/${name}`, Buffer.from(`bytes of ${name}`));
    const listed = await storage.listObjects('ranges/', 10);
    expect(listed.map(({ key, sizeBytes }) => [key, sizeBytes])).toEqual([
      ['ranges/a', 10],
      ['ranges/b', 10],
      ['ranges/c', 10],
    ]);
    expect(await storage.listObjects('ranges/', 2)).toHaveLength(2);
    const range = { start: 6, end: 8, etag: listed[0]?.etag ?? '' };
    expect(Buffer.concat(await (await storage.openRange('ranges/a', range)).toArray()).toString()).toBe('of');
    await storage.putObject('ranges/a', Buffer.from('other bytes'));
    expect(await codeOf(storage.openRange('ranges/a', range))).toBe('precondition_failed');
    expect(await codeOf(storage.openRange('ranges/none', range))).toBe('artifact_missing');
  });

  test('put, head, get, presigned get and delete by prefix', async () => {
    const [one, two, other] = ['jobs/j1/f1/step-1/a', 'jobs/j1/f1/step-2/a', 'jobs/j10/f1/step-1/a'] as const;
    for (const key of [one, two, other]) await storage.putObject(key, Buffer.from(key));
    expect((await storage.getObject(two)).toString()).toBe(two);
    const response = await fetch(await storage.presignGet(one, { fileName: 'a "b".bin' }));
    expect(await response.text()).toBe(one);
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="a__b_.bin"');
    expect(await storage.deletePrefix('jobs/j1/')).toBe(2);
    expect(await storage.headObject(one)).toBeNull();
    expect(await storage.headObject(other)).toEqual({ sizeBytes: other.length });
    expect(await codeOf(storage.getObject(one))).toBe('artifact_missing');
  });

  test('what is given away names the address that clients use, and is signed for it', async () => {
    const publicEndpoint = bucket.endpoint.replace('127.0.0.1', 'localhost');
    const inside = createStorage({ ...bucket, publicEndpoint, spoolDir: folder });
    await inside.putObject('public/a', Buffer.from('a'));
    const url = await inside.presignGet('public/a');
    expect(new URL(url).origin).toBe(publicEndpoint);
    expect(await (await fetch(url)).text()).toBe('a');
    const uploadId = await inside.beginParts('public/b');
    const part = await inside.presignPart('public/b', uploadId, 1, 60);
    expect(new URL(part).origin).toBe(publicEndpoint);
    await inside.abortParts('public/b', uploadId);
    inside.close();
  });

  test.each(['', '/', 'a/../b', '../a', 'a//b', 'a b', 'a\\b', 'a/./b', 'x'.repeat(1025)])(
    'key %j is refused',
    async (key) => {
      expect(await codeOf(storage.putObject(key, Buffer.from('x')))).toBe('bad_id');
      expect(await codeOf(storage.deletePrefix(key))).toBe('bad_id');
    },
  );
});

describe('faults', () => {
  let proxy: FaultProxy;
  let distant: Storage;
  beforeAll(async () => {
    proxy = await createFaultProxy(bucket.endpoint);
    distant = createStorage({ ...bucket, endpoint: `http://127.0.0.1:${proxy.port}`, spoolDir: folder });
  });
  afterAll(async () => {
    distant.close();
    await proxy.close();
  });

  test('a store that is away is storage_unavailable, and works again when it is back', async () => {
    await distant.checkHealth();
    proxy.cut();
    expect(await codeOf(distant.checkHealth())).toBe('storage_unavailable');
    expect(await codeOf(distant.putBlob(Buffer.from('during the outage')))).toBe('storage_unavailable');
    proxy.heal();
    await distant.checkHealth();
    const { sha256 } = await distant.putBlob(Buffer.from('after the outage'));
    expect((await distant.getBlobBuffer(sha256)).toString()).toBe('after the outage');
  });

  test('a connection that breaks half way through a blob is not its end', async () => {
    const bytes = randomBytes(24 * MIB);
    const { sha256 } = await storage.putBlob(bytes);
    const stream = await distant.getBlob(sha256);
    const read = (async () => {
      let sizeBytes = 0;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (sizeBytes > MIB) proxy.cut();
      }
    })();
    expect(await codeOf(read)).toBe('storage_unavailable');
    proxy.heal();
    const file = join(folder, 'retried.bin');
    const download = distant.downloadBlob(sha256, file);
    setTimeout(() => {
      proxy.cut();
      proxy.heal();
    }, 30);
    await download;
    expect(sha256Of(await readFile(file))).toBe(sha256);
  });

  test('wrong credentials and a missing bucket say which variable to look at', async () => {
    const wrong = createStorage({ ...bucket, secretAccessKey: 'wrong' });
    await expect(wrong.putBlob(Buffer.from('abc'))).rejects.toThrow(/MILLRACE_S3_ACCESS_KEY_ID/);
    const nowhere = createStorage({ ...bucket, bucket: 'never-made' });
    await expect(nowhere.checkHealth()).rejects.toThrow(/MILLRACE_S3_BUCKET/);
    wrong.close();
    nowhere.close();
  });

  test('making a bucket that exists is no error', async () => {
    await storage.ensureBucket();
    await storage.ensureBucket();
  });
});
