import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import { abandonOrphans, createPartUploadRepository } from '@millrace/uploads';
import { sql } from 'drizzle-orm';
import { partUploads } from '../src/schema.ts';
import type { DatasetUploadRow } from '../src/uploads/dataset-upload.table.ts';
import { startDatasets } from './support/start-datasets.ts';

const PART_BYTES = 5 * 1024 * 1024;
const FOLDER = 'dataset-uploads/';

type Json = Record<string, unknown>;
type Address = {
  file: string;
  number: number;
  sizeBytes: number;
  url: string;
  headers: Record<string, string>;
  isStored: boolean;
};
type Upload = Json & { id: string; state: string; versionId: string; parts: { items: Address[] } };

let service: Awaited<ReturnType<typeof startDatasets>>;

beforeAll(async () => {
  service = await startDatasets();
});
afterAll(() => service?.stop());

async function ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Upload }> {
  const response = await fetch(`${service.origin}${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  return { status: response.status, body: (await response.json()) as Upload };
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const created = async (name: string) => (await ask('POST', '/v1/datasets', { name })).body.id;

function described(name: string, bytes: Buffer): Json {
  const partDigests: string[] = [];
  for (let start = 0; start < bytes.length; start += PART_BYTES)
    partDigests.push(sha256(bytes.subarray(start, start + PART_BYTES)));
  return { name, sizeBytes: bytes.length, sha256: sha256(bytes), partSizeBytes: PART_BYTES, partDigests };
}

async function put(address: Address, bytes: Buffer): Promise<number> {
  const start = (address.number - 1) * PART_BYTES;
  const body = bytes.subarray(start, start + address.sizeBytes) as Buffer<ArrayBuffer>;
  const response = await fetch(address.url, { method: 'PUT', body, headers: address.headers });
  await response.arrayBuffer();
  return response.status;
}

const begin = (datasetId: string, files: Json[]) =>
  ask('POST', `/v1/datasets/${datasetId}/uploads`, { files });
const complete = (datasetId: string, id: string) =>
  ask('POST', `/v1/datasets/${datasetId}/uploads/${id}/complete`, {});
const left = (id: string) => service.storage.listObjects(`${FOLDER}${id}/`, 10);

test('an upload that was cut off goes on where it was, and the same files again are the same version', async () => {
  const datasetId = await created('spectra');
  const bytes = randomBytes(2 * PART_BYTES + 4_321);
  const files = [described('run/a.csv', bytes), described('b.csv', Buffer.from('x\n1\n'))];
  const first = await begin(datasetId, files);
  expect(first).toMatchObject({ status: 201, body: { state: 'open', datasetId, versionId: null } });
  expect(first.body.parts.items.map(({ file, number }) => [file, number])).toEqual([
    ['run/a.csv', 1],
    ['run/a.csv', 2],
    ['run/a.csv', 3],
    ['b.csv', 1],
  ]);
  expect(await put(first.body.parts.items[1] as Address, bytes)).toBe(200);
  expect(await complete(datasetId, first.body.id)).toMatchObject({
    status: 409,
    body: { code: 'upload_incomplete' },
  });

  // whoever lost the connection asks for the same again and sends what is missing
  const second = await begin(datasetId, files);
  expect(second).toMatchObject({ status: 200, body: { id: first.body.id, state: 'open' } });
  expect(second.body.parts.items.map(({ isStored }) => isStored)).toEqual([false, true, false, false]);
  for (const address of second.body.parts.items.filter(({ isStored }) => !isStored))
    expect(await put(address, address.file === 'b.csv' ? Buffer.from('x\n1\n') : bytes)).toBe(200);
  const ends = await Promise.all([1, 2, 3].map(() => complete(datasetId, first.body.id)));
  const { versionId } = ends[0]?.body ?? { versionId: '' };
  for (const end of ends) expect(end).toMatchObject({ status: 200, body: { state: 'completed', versionId } });
  const { body: version } = await ask('GET', `/v1/datasets/${datasetId}/versions/${versionId}`);
  expect(version).toMatchObject({
    state: 'ready',
    source: { type: 'upload' },
    sizeBytes: bytes.length + 4,
    files: [
      { path: 'b.csv', sizeBytes: 4 },
      { path: 'run/a.csv', sha256: sha256(bytes) },
    ],
  });
  expect(bytes.equals(await service.storage.getBlobBuffer(sha256(bytes)))).toBe(true);
  expect(await left(first.body.id)).toEqual([]);

  const again = await begin(datasetId, files);
  expect(again).toMatchObject({
    status: 200,
    body: { state: 'completed', versionId, isReused: true, parts: { items: [] } },
  });
  const { body: list } = await ask('GET', `/v1/datasets/${datasetId}/uploads`);
  expect((list.items as Upload[]).map(({ id }) => id)).toEqual([again.body.id, first.body.id]);
});

test('many who begin the same upload at once get one', async () => {
  const datasetId = await created('at once');
  const files = [described('a.csv', randomBytes(1_000))];
  const begun = await Promise.all([1, 2, 3, 4, 5].map(() => begin(datasetId, files)));
  expect(new Set(begun.map(({ body }) => body.id)).size).toBe(1);
  expect(begun.map(({ status }) => status).toSorted()).toEqual([200, 200, 200, 200, 201]);
  // what the slower ones had begun is given up
  await eventually(async () => expect(await service.storage.listPartUploads(FOLDER, 100)).toHaveLength(1));
});

describe('what is not as announced', () => {
  test('a part with other bytes never becomes part of a version', async () => {
    const datasetId = await created('changed');
    const bytes = randomBytes(PART_BYTES + 10);
    const { body } = await begin(datasetId, [described('a.bin', bytes)]);
    const [head, tail] = body.parts.items as [Address, Address];
    const status = await put(head, randomBytes(PART_BYTES));
    expect(await put(tail, bytes)).toBe(200);
    const end = await complete(datasetId, body.id);
    expect(end.body.code).toBe(status === 200 ? 'checksum_mismatch' : 'upload_incomplete');
  });

  test('a file that is not what its digest says is refused, and nothing of it is kept', async () => {
    const datasetId = await created('lie');
    const bytes = Buffer.from('x,y\n1,2\n');
    const file = { ...described('a.csv', bytes), sha256: 'a'.repeat(64) };
    const { body } = await begin(datasetId, [file]);
    expect(await put(body.parts.items[0] as Address, bytes)).toBe(200);
    for (const _ of [1, 2])
      expect(await complete(datasetId, body.id)).toMatchObject({
        status: 422,
        body: { code: 'checksum_mismatch' },
      });
    expect(await left(body.id)).toEqual([]);
    const { body: versions } = await ask('GET', `/v1/datasets/${datasetId}/versions`);
    expect(versions.items).toEqual([]);
  });

  test.each<[string, Json, number, string]>([
    ['a path out of the folder', { name: '../x' }, 400, 'invalid_artifact_path'],
    ['a digest too many', { partDigests: ['a'.repeat(64), 'b'.repeat(64)] }, 400, 'invalid_request'],
    ['parts that are too small', { partSizeBytes: 1_024 }, 400, 'invalid_request'],
    [
      'more than an upload takes',
      { sizeBytes: 2 ** 37, partSizeBytes: 2 ** 27, partDigests: Array(1_024).fill('a'.repeat(64)) },
      413,
      'payload_too_large',
    ],
  ])('%s is refused before it is begun', async (_name, change, status, code) => {
    const datasetId = await created('refused');
    const refused = await begin(datasetId, [{ ...described('a.csv', Buffer.from('x\n')), ...change }]);
    expect([refused.status, refused.body.code]).toEqual([status, code]);
    expect(await begin('0190c0de-0000-7000-8000-000000000001', [])).toMatchObject({ status: 400 });
  });

  test('a dataset that is not there has no uploads, and another dataset shows none of this one', async () => {
    const none = '0190c0de-0000-7000-8000-000000000001';
    const file = described('a.csv', Buffer.from('x\n2\n'));
    expect(await begin(none, [file])).toMatchObject({ status: 404, body: { code: 'dataset_not_found' } });
    const [mine, theirs] = [await created('mine'), await created('theirs')];
    const { body } = await begin(mine, [file]);
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/parts'],
      ['POST', '/complete'],
      ['DELETE', ''],
    ])
      expect(await ask(method ?? '', `/v1/datasets/${theirs}/uploads/${body.id}${path}`)).toMatchObject({
        status: 404,
        body: { code: 'upload_not_found' },
      });
  });
});

test('an upload that is given up, or whose time is over, leaves nothing and can be begun anew', async () => {
  const datasetId = await created('given up');
  const bytes = randomBytes(PART_BYTES + 1);
  const files = [described('a.bin', bytes)];
  const { body } = await begin(datasetId, files);
  expect(await put(body.parts.items[0] as Address, bytes)).toBe(200);
  const path = `/v1/datasets/${datasetId}/uploads/${body.id}`;
  for (const _ of [1, 2])
    expect(await ask('DELETE', path)).toMatchObject({ status: 200, body: { state: 'aborted' } });
  expect(await put(body.parts.items[1] as Address, bytes)).not.toBe(200);
  expect((await ask('GET', `${path}/parts`)).body.code).toBe('upload_not_open');
  expect(await complete(datasetId, body.id)).toMatchObject({
    status: 409,
    body: { code: 'upload_not_open' },
  });

  const late = (await begin(datasetId, files)).body;
  expect(late.id).not.toBe(body.id);
  expect(late.parts.items.map(({ isStored }) => isStored)).toEqual([false, false]);
  await service.database.db.execute(
    sql`update datasets.part_uploads set expires_at = now() - interval '1 second' where id = ${late.id}`,
  );
  const other = [described('other.csv', Buffer.from('x\n1\n'))];
  expect((await begin(datasetId, other)).status).toBe(201);
  expect((await ask('GET', `/v1/datasets/${datasetId}/uploads/${late.id}`)).body.state).toBe('expired');
  const begun = await service.storage.listPartUploads(FOLDER, 1_000);
  expect(begun.filter(({ key }) => key.includes(late.id) || key.includes(body.id))).toEqual([]);
});

test('files that a killed service left without a row are given up, those of an open upload stay', async () => {
  const datasetId = await created('orphans');
  const bytes = randomBytes(100);
  const { body } = await begin(datasetId, [described('kept.bin', bytes)]);
  const lost = `${FOLDER}0190c0de-0000-7000-8000-00000000dead/0`;
  await service.storage.beginParts(lost, { isChecked: true });
  await service.storage.putObject(`${FOLDER}0190c0de-0000-7000-8000-00000000beef/0`, bytes);
  const rows = createPartUploadRepository<DatasetUploadRow>(partUploads);
  const { database, storage } = service;
  const collect = (olderThanMs: number) =>
    abandonOrphans({ database, rows, storage, folder: FOLDER, olderThanMs });
  expect(await collect(60_000)).toBe(0);
  // the object store's times have no fractions of a second
  expect(await collect(-2_000)).toBe(2);
  expect(await storage.listObjects(FOLDER, 10)).toEqual([]);
  expect(await put(body.parts.items[0] as Address, bytes)).toBe(200);
  expect((await complete(datasetId, body.id)).body.state).toBe('completed');
});
