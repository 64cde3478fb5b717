import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { verifyModel } from '@millrace/integrity';
import { blobKey } from '@millrace/storage';
import { eventually, sendThenRead } from '@millrace/testing';
import pg from 'pg';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from './support/registry-stack.ts';

const run = promisify(execFile);
const fixture = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
const model = readFileSync(fixture('model.onnx'));
const other = readFileSync(fixture('other.onnx'));
const expected = JSON.parse(readFileSync(fixture('expected.json'), 'utf8')) as {
  labels: number[];
  probabilities: [number, number][];
};
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let stack: RegistryStack;
let origin: string;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
  origin = stack.registry.origin;
});
afterAll(() => stack?.stop());

async function sql<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: stack.databaseUrl, application_name: 'test' });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

const onnx = (modelId: string, version: string) => ({ modelId, version, framework: 'onnx' });

describe('the guide of the Model API', () => {
  const inputSchema = '{"inputs":[{"name":"float_input","shape":[1,10]}]}';
  const outputSchema =
    '{"outputs":[{"name":"output_label","shape":[1]},{"name":"output_probability","shape":[1,2]}]}';

  test('curl uploads the scikit-learn model and the next prediction answers', async () => {
    const { stdout } = await run('curl', [
      ...['-s', '-X', 'POST', `${origin}/model/upload`],
      ...['-F', 'modelId=sklearn-classifier', '-F', 'version=v1', '-F', 'framework=onnx'],
      ...['-F', `file=@${fixture('model.onnx')}`],
      ...['-F', `inputSchema=${inputSchema}`, '-F', `outputSchema=${outputSchema}`],
    ]);
    const reply = JSON.parse(stdout) as Record<string, unknown>;
    expect(reply).toEqual({
      success: true,
      modelId: 'sklearn-classifier',
      version: 'v1',
      uploadedAt: expect.any(Number),
    });
    expect(Math.abs(Date.now() - Number(reply.uploadedAt))).toBeLessThan(60_000);

    const predicted = await postJson(`${stack.inference?.origin}/predict`, {
      modelId: 'sklearn-classifier',
      features: { float_input: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] },
      userId: 'user-123',
    });
    expect(predicted.status).toBe(200);
    expect(predicted.body).toMatchObject({ modelVersion: 'v1', inferenceId: expect.any(String) });
    const prediction = predicted.body.prediction as { output_label: number[]; output_probability: number[] };
    expect(Object.keys(prediction)).toEqual(['output_label', 'output_probability']);
    expect(prediction.output_label).toEqual(expected.labels);
    expect(prediction.output_probability[0]).toBeCloseTo(expected.probabilities[0]?.[0] ?? 0, 5);
    expect(predicted.body.confidence).toBeCloseTo(expected.probabilities[0]?.[1] ?? 0, 5);
  });

  test('info and versions have the shapes of the guide', async () => {
    expect((await getJson(`${origin}/model/sklearn-classifier/v1`)).body).toEqual({
      id: 'sklearn-classifier:v1',
      modelId: 'sklearn-classifier',
      version: 'v1',
      framework: 'onnx',
      stage: 'development',
      inputSchema,
      outputSchema,
      uploadedAt: expect.any(Number),
    });
    expect((await getJson(`${origin}/model/versions?modelId=sklearn-classifier`)).body).toEqual({
      modelId: 'sklearn-classifier',
      versions: [{ version: 'v1', framework: 'onnx', stage: 'development' }],
    });
  });

  test('the package holds the uploaded bytes and the rewritten graph, signed', async () => {
    const { body } = await getJson(`${origin}/v1/models/sklearn-classifier/versions/v1/bundle-parts`);
    const parts = body as {
      files: { path: string; sha256: string; url: string }[];
      signature: Record<string, unknown>;
      publicKeyPem: string;
      attestations: { predicateType: string }[];
    };
    expect(parts.files.map((file) => file.path)).toEqual(['model.onnx', 'serving/model.onnx']);
    expect(parts.files[0]?.sha256).toBe(sha256(model));
    expect(parts.publicKeyPem).toBe(stack.publicKeyPem);
    expect(verifyModel(parts.signature, stack.publicKeyPem, parts.files).keyId).toMatch(/^[0-9a-f]{64}$/);
    expect(parts.attestations.map((attestation) => attestation.predicateType)).toEqual([
      'https://slsa.dev/provenance/v1',
      'urn:millrace:model-meta:v1',
    ]);
    for (const file of parts.files) {
      const bytes = new Uint8Array(await (await fetch(file.url)).arrayBuffer());
      expect(sha256(bytes)).toBe(file.sha256);
    }
  });

  test('a schema that was not uploaded is made from the model', async () => {
    await upload(origin, onnx('no-schemas', '1'), model);
    const { body } = await getJson(`${origin}/model/no-schemas/1`);
    expect(JSON.parse(String(body.inputSchema))).toEqual({
      inputs: [{ name: 'float_input', dtype: 'float32', shape: [null, 10] }],
    });
  });
});

describe('files over 1 MiB are read in a thread', () => {
  /** The model with a doc string of `length` bytes, which changes nothing else. */
  const padded = (length: number): Buffer => {
    const size: number[] = [];
    for (let left = length; ; left >>>= 7) {
      size.push(left > 127 ? (left & 127) | 128 : left);
      if (left <= 127) break;
    }
    return Buffer.concat([model, Buffer.from([0x32, ...size]), Buffer.alloc(length, 'x')]);
  };

  test('a good one is served like any other', async () => {
    const large = padded(3_000_000);
    const reply = await upload(origin, { ...onnx('large', 'v1'), sha256: sha256(large) }, large);
    expect(reply.status).toBe(201);
    const { body } = await getJson(`${origin}/v1/models/large/versions/v1`);
    expect(body).toMatchObject({ servingFile: 'serving/model.onnx', inputs: [{ name: 'float_input' }] });
    const predicted = await postJson(`${stack.inference?.origin}/predict`, {
      modelId: 'large',
      features: { float_input: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] },
    });
    expect(predicted.body.prediction).toMatchObject({ output_label: expected.labels });
  });

  test('a cut one is refused with its reason', async () => {
    const reply = await upload(origin, onnx('large-bad', 'v1'), padded(3_000_000).subarray(0, 2_000_000));
    expect(reply).toMatchObject({ status: 422, body: { code: 'not_onnx' } });
  });
});

describe('the same version again', () => {
  test('the same bytes are idempotent, other bytes a conflict', async () => {
    const first = await upload(origin, onnx('again', 'v1'), model);
    expect(first.status).toBe(201);
    const second = await upload(origin, onnx('again', 'v1'), model);
    expect(second).toEqual({ status: 200, body: first.body });
    const conflict = await upload(origin, onnx('again', 'v1'), other);
    expect(conflict).toMatchObject({ status: 409, body: { code: 'version_conflict' } });
    const { body } = await getJson(`${origin}/model/versions?modelId=again`);
    expect(body.versions).toHaveLength(1);
  });

  test('of 50 uploads at once one is registered', async () => {
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        upload(origin, onnx('crowd', 'v1'), index % 2 === 0 ? model : other),
      ),
    );
    const statuses = replies.map((reply) => reply.status).sort();
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 200)).toHaveLength(24);
    expect(statuses.filter((status) => status === 409)).toHaveLength(25);
    const rows = await sql<{ n: number }>(
      `select count(*)::int as n from registry.model_versions v join registry.models m on m.id = v.model_id where m.name = 'crowd'`,
    );
    expect(rows[0]?.n).toBe(1);
    const { body } = await getJson(`${origin}/v1/models/crowd/history/verify`);
    expect(body).toMatchObject({ verified: true, length: 1 });
  });
});

describe('labels and ordinals', () => {
  test('digits are an ordinal, other labels take the next one, and either names a version', async () => {
    await upload(origin, onnx('labels', '7'), model);
    await upload(origin, onnx('labels', 'winter'), other);
    const list = await getJson(`${origin}/v1/models/labels/versions`);
    expect(list.body.items).toMatchObject([
      { version: 'winter', ordinal: 8 },
      { version: '7', ordinal: 7 },
    ]);
    expect((await getJson(`${origin}/v1/models/labels/versions/8`)).body).toMatchObject({
      version: 'winter',
    });
    expect((await getJson(`${origin}/model/labels/8`)).body).toMatchObject({ version: 'winter' });
    const taken = await upload(origin, onnx('labels', '8'), model);
    expect(taken).toMatchObject({ status: 409, body: { code: 'version_conflict' } });
  });
});

describe('bad uploads', () => {
  const FORM = 'multipart/form-data; boundary=b';
  const UNKNOWN_FIELD = [
    '--b\r\ncontent-disposition: form-data; name="colour"\r\n\r\nred\r\n',
    '--b\r\ncontent-disposition: form-data; name="file"; filename="m"\r\n\r\n',
  ].join('');
  const faults: [string, Record<string, string>, Uint8Array | undefined, number, string][] = [
    ['random bytes', onnx('bad', 'v1'), Buffer.from('<html>not a model</html>'), 422, 'not_onnx'],
    ['half a model', onnx('bad', 'v1'), model.subarray(0, 300), 422, 'not_onnx'],
    ['an empty file', onnx('bad', 'v1'), new Uint8Array(), 422, 'not_onnx'],
    ['another digest', { ...onnx('bad', 'v1'), sha256: '0'.repeat(64) }, model, 422, 'checksum_mismatch'],
    ['a digest that is none', { ...onnx('bad', 'v1'), sha256: 'abc' }, model, 400, 'invalid_request'],
    ['ONNX as TensorFlow', { ...onnx('bad', 'v1'), framework: 'tensorflow' }, model, 422, 'unknown_format'],
    ['PyTorch', { ...onnx('bad', 'v1'), framework: 'pytorch' }, model, 422, 'unsupported_framework'],
    ['no file', onnx('bad', 'v1'), undefined, 400, 'invalid_request'],
    ['no version', { modelId: 'bad', framework: 'onnx' }, model, 400, 'invalid_request'],
    ['a slash in the name', onnx('a/b', 'v1'), model, 400, 'invalid_name'],
    ['a control character', onnx('a\u0007b', 'v1'), model, 400, 'invalid_name'],
    ['two dots', onnx('..', 'v1'), model, 400, 'invalid_name'],
    ['a colon in the version', onnx('bad', 'v:1'), model, 400, 'invalid_name'],
    ['256 characters', onnx('x'.repeat(256), 'v1'), model, 400, 'invalid_name'],
    ['an unknown field', { ...onnx('bad', 'v1'), colour: 'red' }, model, 400, 'unknown_field'],
    ['an unknown stage', { ...onnx('bad', 'v1'), stage: 'live' }, model, 400, 'invalid_request'],
    ['a schema that is no JSON', { ...onnx('bad', 'v1'), inputSchema: '{' }, model, 400, 'invalid_json'],
    ['a schema that is a list', { ...onnx('bad', 'v1'), outputSchema: '[]' }, model, 400, 'invalid_request'],
    ['a long field', { ...onnx('bad', 'v1'), metadata: 'x'.repeat(70_000) }, model, 400, 'invalid_request'],
  ];

  test.each(faults)('%s', async (_what, fields, file, status, code) => {
    const reply = await upload(origin, fields, file);
    expect(reply).toMatchObject({ status, body: { code, error: expect.any(String) } });
  });

  test('none of them left a model or a blob', async () => {
    expect((await getJson(`${origin}/v1/models/bad`)).status).toBe(404);
    expect(await stack.storage.hasBlob(sha256(model.subarray(0, 300)))).toBe(false);
  });

  test('a body that is no form', async () => {
    const reply = await postJson(`${origin}/model/upload`, { modelId: 'a' });
    expect(reply).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
  });

  test('an upload cut off half way leaves nothing and the service goes on', async () => {
    const boundary = 'cut';
    const body = Buffer.concat([
      Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="modelId"\r\n\r\ncut-off\r\n`),
      Buffer.from(
        `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="model.onnx"\r\n\r\n`,
      ),
      Buffer.alloc(2_000_000, 7),
    ]);
    const { hostname, port } = new URL(origin);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /model/upload HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: multipart/form-data; boundary=${boundary}\r\ncontent-length: ${body.length * 2}\r\n\r\n`,
    );
    socket.write(body);
    await new Promise((resolve) => setTimeout(resolve, 300));
    socket.destroy();
    await eventually(async () => {
      const { stdout } = await run('sh', [
        '-c',
        `ls -l /proc/${stack.registry.pid}/fd | grep -c millrace-upload || true`,
      ]);
      if (stdout.trim() !== '0') throw new Error('the spooled upload is still open');
      return true;
    });
    expect((await getJson(`${origin}/v1/models/cut-off`)).status).toBe(404);
    expect((await upload(origin, onnx('after-cut', 'v1'), model)).status).toBe(201);
  });

  test('a form over the bound is refused before it is read', async () => {
    const { hostname, port } = new URL(origin);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /model/upload HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 3000000000\r\n\r\n`,
    );
    const reply = await new Promise<string>((resolve) =>
      socket.once('data', (data) => resolve(String(data))),
    );
    socket.destroy();
    expect(reply).toContain('413');
    expect(reply).toContain('payload_too_large');
  });

  test.each([
    ['an unknown field', 'POST', '/model/upload', FORM, UNKNOWN_FIELD, 400, 'unknown_field'],
    ['no form', 'POST', '/model/upload', 'text/plain', '', 415, 'unsupported_media_type'],
    ['an unknown field', 'PUT', '/v1/models/a/versions/v1/bundle', FORM, UNKNOWN_FIELD, 400, 'unknown_field'],
    ['no form', 'PUT', '/v1/models/a/versions/v1/bundle', 'text/plain', '', 415, 'unsupported_media_type'],
  ])(
    '%s in a large %s %s is told to who reads after sending all',
    async (_what, method, path, type, start, status, code) => {
      const sent = { method, headers: { 'content-type': type }, start, sizeBytes: 48 * 1024 * 1024 };
      const refused = await sendThenRead(`${origin}${path}`, sent);
      expect([refused.status, JSON.parse(refused.body)]).toEqual([status, expect.objectContaining({ code })]);
    },
  );

  test('a form that ends without its boundary is refused', async () => {
    const response = await fetch(`${origin}/model/upload`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      body: '--b\r\ncontent-disposition: form-data; name="file"; filename="m"\r\n\r\nhalf',
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'invalid_request' });
  });
});

test('a model that the runtime refuses is taken back, and its label is free again', async () => {
  const refused = await upload(origin, onnx('unloadable', 'v1'), readFileSync(fixture('unloadable.onnx')));
  expect(refused).toMatchObject({ status: 422, body: { code: 'model_load_failed' } });
  expect((await getJson(`${origin}/model/unloadable/v1`)).status).toBe(404);
  expect((await upload(origin, onnx('unloadable', 'v1'), model)).status).toBe(201);
  const { body } = await getJson(`${origin}/v1/models/unloadable/history`);
  const rows = body.items as { entry: { action: string; ordinal?: number } }[];
  expect(rows.map((row) => row.entry.action)).toEqual(['registered', 'withdrawn', 'registered']);
  expect(rows[2]?.entry.ordinal).toBe(2);
});

describe('what is not there', () => {
  test.each([
    ['/model/nobody/v1', 'model_not_found'],
    ['/model/sklearn-classifier/v99', 'version_not_found'],
    ['/model/versions?modelId=nobody', 'model_not_found'],
    ['/v1/models/nobody', 'model_not_found'],
    ['/v1/models/sklearn-classifier/versions/99', 'version_not_found'],
  ])('%s', async (path, code) => {
    expect(await getJson(`${origin}${path}`)).toMatchObject({ status: 404, body: { code } });
  });

  test('a list without a model is a bad request', async () => {
    expect(await getJson(`${origin}/model/versions`)).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    });
  });
});

describe('tampering', () => {
  test('a blob changed in storage is refused by verification', async () => {
    await upload(origin, onnx('tampered', 'v1'), other);
    const verify = () => postJson(`${origin}/v1/models/tampered/versions/v1/verify`, {});
    expect(await verify()).toMatchObject({ status: 200, body: { verified: true, files: 2 } });
    await stack.storage.putObject(blobKey(sha256(other)), Buffer.from('other bytes'));
    expect(await verify()).toMatchObject({ status: 502, body: { code: 'artifact_corrupt' } });
    await stack.storage.putObject(blobKey(sha256(other)), other);
    expect(await verify()).toMatchObject({ status: 200 });
  });

  test('a manifest changed in the database is refused at once', async () => {
    await upload(origin, onnx('edited', 'v1'), model);
    await sql(
      `update registry.packages p set manifest = jsonb_set(manifest, '{files,0,sha256}', to_jsonb(repeat('a', 64)))
       from registry.model_versions v join registry.models m on m.id = v.model_id
       where m.name = 'edited' and p.package_digest = v.package_digest`,
    );
    const reply = await postJson(`${origin}/v1/models/edited/versions/v1/verify`, {});
    expect(reply).toMatchObject({ status: 422, body: { code: 'digest_mismatch' } });
    await sql(
      `update registry.packages set manifest = jsonb_set(manifest, '{files,0,sha256}', to_jsonb($1::text)) where manifest #>> '{files,0,sha256}' = repeat('a', 64)`,
      [sha256(model)],
    );
  });

  test('the history cannot be changed', async () => {
    await expect(sql(`update registry.change_log set seq = seq`)).rejects.toThrow('append-only');
    await expect(sql(`delete from registry.change_log`)).rejects.toThrow('append-only');
    await expect(sql(`truncate registry.change_log`)).rejects.toThrow('append-only');
  });
});
