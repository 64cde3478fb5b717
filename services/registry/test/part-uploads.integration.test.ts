import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase } from '@millrace/database';
import { sha256Hex } from '@millrace/integrity';
import { sql } from 'drizzle-orm';
import type { Address, Begun, Source } from './support/part-sender.ts';
import { beginUpload, bufferSource, put, sendParts } from './support/part-sender.ts';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, startRegistryStack } from './support/registry-stack.ts';

const MODEL = readFileSync(new URL('./fixtures/model.onnx', import.meta.url));

type Json = Record<string, unknown>;

let stack: RegistryStack;
let origin: string;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
  origin = stack.registry.origin;
});
afterAll(() => stack?.stop());

const begin = (fields: Json, sources: readonly Source[], change?: (file: Json) => Json) =>
  beginUpload(origin, fields, sources, change);
const sendAll = (begun: Begun, sources: readonly Source[]) => sendParts(origin, begun, sources);
const complete = (id: string) => postJson(`${origin}/v1/uploads/${id}/complete`, {});
const left = (id: string) => stack.storage.listObjects(`uploads/${id}/`, 10);

test('a model in parts becomes a version like any upload, once, however often it is completed', async () => {
  const sources = [bufferSource('model.onnx', MODEL)];
  const { status, body } = await begin({ modelId: 'parts', version: 'v1' }, sources);
  expect(status).toBe(201);
  expect(body).toMatchObject({ state: 'open', modelId: 'parts', files: [{ name: 'model.onnx', parts: 1 }] });
  const early = await complete(body.id);
  expect(early).toMatchObject({ status: 409, body: { code: 'upload_incomplete' } });
  await sendAll(body, sources);
  const ends = await Promise.all([complete(body.id), complete(body.id)]);
  for (const end of ends)
    expect(end).toMatchObject({ status: 201, body: { success: true, modelId: 'parts', version: 'v1' } });
  expect(await complete(body.id)).toMatchObject({ status: 201 });
  const { body: version } = await getJson(`${origin}/v1/models/parts/versions/v1`);
  expect((version.files as Json[])[0]).toMatchObject({ path: 'model.onnx', sha256: sha256Hex(MODEL) });
  expect(await left(body.id)).toEqual([]);
  // the same bytes again are the same version
  const again = (await begin({ modelId: 'parts', version: 'v1' }, sources)).body;
  await sendAll(again, sources);
  expect(await complete(again.id)).toMatchObject({ status: 200 });
  const { body: list } = await getJson(`${origin}/v1/uploads?limit=1`);
  expect(list).toMatchObject({
    items: [{ id: again.id, state: 'completed' }],
    nextCursor: expect.any(String),
  });
});

describe('what is not as announced', () => {
  const sources = [bufferSource('model.onnx', Buffer.concat([Buffer.alloc(5 * 1024 * 1024), MODEL]))];

  test('a part with other bytes is refused where it arrives, or at the latest when it is read back', async () => {
    const { body } = await begin({ modelId: 'changed', version: 'v1' }, sources);
    const [first, second] = body.parts.items as [Address, Address];
    const evil = Buffer.alloc(5 * 1024 * 1024, 1);
    const status = await put(first, evil);
    expect(await put(second, MODEL)).toBe(200);
    // a checksum of its own does not fit the signed address
    const own = {
      ...first,
      headers: { 'x-amz-checksum-sha256': createHash('sha256').update(evil).digest('base64') },
    };
    expect(await put(own, evil)).toBe(403);
    const end = await complete(body.id);
    expect(end.body.code).toBe(status === 200 ? 'checksum_mismatch' : 'upload_incomplete');
  });

  test('a file with another digest than its own is refused and nothing of it is kept', async () => {
    const lie = (file: Json) => ({ ...file, sha256: 'a'.repeat(64) });
    const { body } = await begin({ modelId: 'lie', version: 'v1' }, sources, lie);
    await sendAll(body, sources);
    expect(await complete(body.id)).toMatchObject({ status: 422, body: { code: 'checksum_mismatch' } });
    expect(await complete(body.id)).toMatchObject({ status: 422, body: { code: 'checksum_mismatch' } });
    expect((await getJson(`${origin}/v1/uploads/${body.id}`)).body).toMatchObject({ state: 'failed' });
    expect(await left(body.id)).toEqual([]);
    expect((await getJson(`${origin}/v1/models/lie`)).status).toBe(404);
  });

  test.each<[string, Json, (file: Json) => Json, string]>([
    ['no framework of ours', { framework: 'torch' }, (file) => file, 'unsupported_framework'],
    ['a name with a slash', { modelId: 'a/b' }, (file) => file, 'invalid_name'],
    ['a path out of the folder', {}, (file) => ({ ...file, name: '../x' }), 'invalid_artifact_path'],
    ['a digest too few', {}, (file) => ({ ...file, partDigests: ['a'.repeat(64)] }), 'invalid_request'],
    ['parts that are too small', {}, (file) => ({ ...file, partSizeBytes: 1024 }), 'invalid_request'],
  ])('%s is refused before it is begun', async (_name, fields, change, code) => {
    const { status, body } = await begin({ modelId: 'm', version: 'v1', ...fields }, sources, change);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body.code).toBe(code);
  });
});

test('an upload that is given up, or whose time is over, leaves nothing and takes nothing', async () => {
  const sources = [bufferSource('model.onnx', MODEL)];
  const { body } = await begin({ modelId: 'gone', version: 'v1' }, sources);
  await sendAll(body, sources);
  const response = await fetch(`${origin}/v1/uploads/${body.id}`, { method: 'DELETE' });
  expect(await response.json()).toMatchObject({ state: 'aborted' });
  expect(await complete(body.id)).toMatchObject({ status: 409, body: { code: 'upload_not_open' } });
  expect(await put(body.parts.items[0] as Address, MODEL)).not.toBe(200);
  expect((await getJson(`${origin}/v1/uploads/${body.id}/parts`)).body.code).toBe('upload_not_open');

  const late = (await begin({ modelId: 'late', version: 'v1' }, sources)).body;
  await sendAll(late, sources);
  const database = createDatabase({ url: stack.databaseUrl, applicationName: 'test' });
  await database.db.execute(
    sql`update registry.part_uploads set expires_at = now() - interval '1 second' where id = ${late.id}`,
  );
  await database.close();
  // the next upload gives up those whose time is over; the registry does so every minute as well
  expect((await begin({ modelId: 'next', version: 'v1' }, sources)).status).toBe(201);
  expect((await getJson(`${origin}/v1/uploads/${late.id}`)).body).toMatchObject({ state: 'expired' });
  expect(await complete(late.id)).toMatchObject({ status: 409, body: { code: 'upload_not_open' } });
  expect(await left(late.id)).toEqual([]);
  expect(await complete('0190c0de-0000-7000-8000-000000000001')).toMatchObject({
    status: 404,
    body: { code: 'upload_not_found' },
  });
});

test('whoever completed an upload and went away leaves it to the next', async () => {
  const sources = [bufferSource('model.onnx', MODEL)];
  const { body } = await begin({ modelId: 'orphan', version: 'v1' }, sources);
  await sendAll(body, sources);
  const database = createDatabase({ url: stack.databaseUrl, applicationName: 'test' });
  const claim = (until: string) =>
    database.db.execute(
      sql`update registry.part_uploads set state = 'completing', claimed_until = now() + ${until}::interval where id = ${body.id}`,
    );
  await claim('1 hour');
  expect(await complete(body.id)).toMatchObject({ status: 202, body: { uploadId: body.id } });
  await claim('-1 second');
  expect(await complete(body.id)).toMatchObject({ status: 201 });
  await database.close();
});
