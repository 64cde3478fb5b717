import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Database } from '@millrace/database';
import { createDatabase } from '@millrace/database';
import { eventually, sendThenRead } from '@millrace/testing';
import * as schema from '../../src/schema.ts';
import { createArtifactRepository } from '../../src/tracking/artifact.repository.ts';
import { createArtifactService } from '../../src/tracking/artifact.service.ts';
import { artifactPath } from '../../src/tracking/artifact-path.ts';
import { unprovenEndpoints } from '../support/mlflow-support.ts';
import type { RegistryStack } from '../support/registry-stack.ts';
import { startRegistryStack } from '../support/registry-stack.ts';

const MIB = 2 ** 20;
const DAY_MS = 86_400_000;
const BYTES_MAX = 20 * MIB;
let stack: RegistryStack;
let database: Database;

beforeAll(async () => {
  stack = await startRegistryStack({
    withInference: false,
    env: { MILLRACE_ARTIFACT_BYTES_MAX: String(BYTES_MAX) },
  });
  database = createDatabase({ url: stack.databaseUrl, applicationName: 'test' });
});
afterAll(async () => {
  await database.close();
  await stack.stop();
});

const base = () => `${stack.registry.origin}/api/2.0/mlflow-artifacts`;
const put = (path: string, body: string | Uint8Array<ArrayBuffer>) =>
  fetch(`${base()}/artifacts/${path}`, { method: 'PUT', body });
const get = (path: string) => fetch(`${base()}/artifacts/${path}`);
const list = async (path: string) =>
  await (await fetch(`${base()}/artifacts?path=${encodeURIComponent(path)}`)).json();
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const objects = async () => (await stack.storage.listObjects('mlflow/', 1_000)).length;

/** Sends a path as it is; `fetch` would tidy it up. */
function raw(method: string, path: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(stack.registry.origin);
    const sent = request(
      { hostname, port, method, path: `/api/2.0/mlflow-artifacts/artifacts/${path}` },
      (answer) => {
        let text = '';
        answer.on('data', (chunk) => {
          text += chunk;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    sent.on('error', reject).end(method === 'PUT' ? 'x' : undefined);
  });
}

describe('paths', () => {
  test.each([
    '../x',
    '..',
    'a/../../x',
    '/etc/passwd',
    'a//b',
    './a',
    'a/.',
    'a\\..\\b',
    '..\\x',
    'C:/x',
    'c:x',
    '\\\\host\\x',
    '%2e%2e/x',
    '%2E%2E%2Fx',
    '%252e%252e%252fx',
    '%25252e%25252e/x',
    'a%5c..%5cb',
    'a%00b',
    'a\u0000b',
    'a\nb',
    'a#b',
    '\uff0e\uff0e/x',
    '\u2025/x',
    'a\uff0fb',
    'a\u2215b',
    'a\u2044b',
    'a\uff3cb',
    'a\ufe68b',
    '%ef%bc%8e%ef%bc%8e/x',
    '%2e%2e/%ff',
    'a\u202eb',
    'a/%2e%2e/b',
    `${'%25'.repeat(1)}25252525252e`,
    'x'.repeat(256),
    `${'a/'.repeat(500)}b`,
  ])('%j is refused', (path) => {
    expect(() => artifactPath(path)).toThrow(expect.objectContaining({ code: 'invalid_artifact_path' }));
  });

  test.each([
    'a',
    'a/b.c',
    '..a',
    'a..b',
    '...',
    'größe ✓ 100%.txt',
    '100%25',
    'ab:c',
    '.hidden/x',
    'ａ',
    '文件/模型.bin',
  ])('%j is taken as it is', (path) => expect(artifactPath(path)).toBe(path));

  test('on the wire too, for every method, whatever the encoding', async () => {
    const wires = [
      '%2e%2e/x',
      '%252e%252e%252fx',
      '..%5cx',
      '%00',
      '/etc/passwd',
      'a%2f%2e%2e%2f%2e%2e%2fx',
      '%EF%BC%8E%EF%BC%8E/x',
    ];
    for (const path of wires)
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const { status, text } = await raw(method, path);
        expect([method, path, status]).toEqual([method, path, 400]);
        expect(text).toContain('INVALID_PARAMETER_VALUE');
      }
    expect((await fetch(`${base()}/artifacts?path=..%2Fx`)).status).toBe(400);
  });
});

describe('files', () => {
  test('large ones come back byte by byte, are replaced whole, listed and removed', async () => {
    const [first, second] = [randomBytes(19 * MIB + 7), Buffer.from('second')];
    expect((await put('t1/a/big.bin', first)).status).toBe(200);
    const answer = await get('t1/a/big.bin');
    expect(answer.headers.get('content-length')).toBe(String(first.length));
    expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(sha256(first));
    await put('t1/a/big.bin', second);
    await put('t1/a-b', 'x');
    await put('t1/a/ü/c', '');
    expect(await (await get('t1/a/big.bin')).text()).toBe('second');
    expect(await list('t1')).toEqual({
      files: [
        { path: 'a', is_dir: true },
        { path: 'a-b', is_dir: false, file_size: 1 },
      ],
    });
    expect(await list('t1/a')).toEqual({
      files: [
        { path: 'big.bin', is_dir: false, file_size: 6 },
        { path: 'ü', is_dir: true },
      ],
    });
    expect(await list('t1/a/big.bin')).toEqual({ files: [] });
    expect((await fetch(`${base()}/artifacts/t1/a`, { method: 'DELETE' })).status).toBe(200);
    expect(await list('t1')).toEqual({ files: [{ path: 'a-b', is_dir: false, file_size: 1 }] });
    expect((await get('t1/a/big.bin')).status).toBe(404);
    expect((await fetch(`${base()}/artifacts/t1/a`, { method: 'DELETE' })).status).toBe(404);
  });

  test('one that is cut off or over the bound leaves nothing, and the one before stays', async () => {
    await put('t2/f', 'before');
    const before = await objects();
    const tooLarge = await put('t2/f', randomBytes(BYTES_MAX + 1));
    expect([tooLarge.status, await tooLarge.json()]).toEqual([
      413,
      expect.objectContaining({ error_code: 'INVALID_PARAMETER_VALUE' }),
    ]);
    const muchTooLarge = await sendThenRead(`${base()}/artifacts/t2/f`, {
      method: 'PUT',
      sizeBytes: BYTES_MAX + 48 * MIB,
    });
    expect([muchTooLarge.status, JSON.parse(muchTooLarge.body)]).toEqual([
      413,
      expect.objectContaining({ error_code: 'INVALID_PARAMETER_VALUE' }),
    ]);
    const half = new AbortController();
    let sent = 0;
    const endless = new Readable({
      read() {
        sent += MIB;
        if (sent > 12 * MIB) half.abort();
        else this.push(randomBytes(MIB));
      },
    });
    const options = { method: 'PUT', body: Readable.toWeb(endless), duplex: 'half', signal: half.signal };
    await expect(fetch(`${base()}/artifacts/t2/f`, options as RequestInit)).rejects.toThrow();
    expect(await (await get('t2/f')).text()).toBe('before');
    await eventually(async () => expect(await objects()).toBe(before));
  });

  test('parts that the client sends to the object store itself become one file', async () => {
    const call = async (what: string, body: unknown) => {
      const answer = await fetch(`${base()}/mpu/${what}/t3/folder`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    const bytes = randomBytes(11 * MIB);
    const path = '/tmp/somewhere/big.bin';
    const { body } = await call('create', { path, num_parts: 2 });
    const { upload_id, credentials } = body as {
      upload_id: string;
      credentials: { url: string; part_number: number }[];
    };
    const parts = await Promise.all(
      credentials.map(async ({ url, part_number }) => {
        const part = bytes.subarray((part_number - 1) * 6 * MIB, part_number * 6 * MIB);
        const answer = await fetch(url, { method: 'PUT', body: part });
        return { part_number, etag: answer.headers.get('etag') ?? '', url };
      }),
    );
    expect((await call('complete', { path: 'other.bin', upload_id, parts })).status).toBe(404);
    expect(await call('complete', { path, upload_id, parts })).toEqual({ status: 200, body: {} });
    expect(sha256(new Uint8Array(await (await get('t3/folder/big.bin')).arrayBuffer()))).toBe(sha256(bytes));
    const presigned = await (await fetch(`${base()}/presigned/t3/folder/big.bin`)).json();
    const { url, file_size } = presigned as { url: string; file_size: number };
    expect([file_size, (await (await fetch(url)).arrayBuffer()).byteLength]).toEqual([
      bytes.length,
      bytes.length,
    ]);
    const other = await call('create', { path: 'given-up', num_parts: 1 });
    expect(await call('abort', { path: 'given-up', upload_id: other.body.upload_id })).toEqual({
      status: 200,
      body: {},
    });
    expect((await call('create', { path, num_parts: 1_001 })).status).toBe(400);
  });

  test('what was replaced or removed leaves the object store a day later, what is in use stays', async () => {
    const artifacts = createArtifactService({
      database,
      artifacts: createArtifactRepository(schema),
      storage: stack.storage,
      bytesMax: BYTES_MAX,
      limit: (work) => work(),
    });
    await put('t4/kept', 'kept');
    await put('t4/gone', 'gone');
    await put('t4/gone', 'gone again');
    await fetch(`${base()}/artifacts/t4/gone`, { method: 'DELETE' });
    expect(await artifacts.sweep(Date.now())).toBe(0);
    const before = await objects();
    const swept = await artifacts.sweep(Date.now() + DAY_MS + 1_000);
    expect(swept).toBeGreaterThanOrEqual(2);
    expect(await objects()).toBeLessThanOrEqual(before - 2);
    expect(await (await get('t4/kept')).text()).toBe('kept');
  });
});

test('every endpoint that the README names this test for was answered', async () => {
  expect(await unprovenEndpoints(stack.registry.origin, 'tracking/artifacts')).toEqual([]);
});
