import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { Entry } from './support/archives.ts';
import { tarGzOf, zipOf } from './support/archives.ts';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, sendFiles, startRegistryStack } from './support/registry-stack.ts';

const IMPORT_TIMEOUT_MS = 60_000;
const tfjs = new URL('../../inference/test/fixtures/tfjs/', import.meta.url);
const savedModels = new URL('../../conversion-worker/tests/fixtures/', import.meta.url);
const samples = JSON.parse(readFileSync(new URL('samples.json', tfjs), 'utf8')) as {
  inputs: number[];
  outputs: number[][];
};
/** TensorFlow and onnxruntime add float32 in another order. */
const TOLERANCE = 1e-5;

function filesOf(folder: URL): Entry[] {
  const root = fileURLToPath(folder);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: path.slice(root.length), bytes: readFileSync(path) }));
}

const savedModel = filesOf(new URL('plain/saved_model/', savedModels));
const graph = filesOf(new URL('graph/', tfjs));
const packed = (path: string, bytes: Buffer): Entry[] => [{ path, bytes }];

let stack: RegistryStack;
let origin: string;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
  await stack.startReplica('converter');
  await stack.startConversionWorker();
  origin = stack.registry.origin;
}, 90_000);
afterAll(() => stack?.stop());

type Import = {
  id: string;
  state: string;
  conversion: string;
  modelVersionId: string;
  error: { code: string };
};

function ended(path: string): Promise<Import> {
  return eventually(
    async () => {
      const { body } = await getJson(`${origin}${path}`);
      if (body.state === 'converting') throw new Error('still converting');
      return body as unknown as Import;
    },
    { timeoutMs: IMPORT_TIMEOUT_MS, intervalMs: 200 },
  );
}

const send = (modelId: string, version: string, files: Entry[], prefer?: string, framework = 'onnx') =>
  sendFiles(origin, { modelId, version, framework }, files, prefer);

describe('a SavedModel', () => {
  test('is converted, compared and served as ONNX, and its version names what was uploaded', async () => {
    const reply = await send('saved', 'v1', packed('m.zip', zipOf(savedModel)), undefined, 'tensorflow');
    expect(reply).toMatchObject({ status: 201, body: { success: true, version: 'v1' } });
    const { body } = await getJson(`${origin}/v1/models/saved/versions/v1`);
    expect(body).toMatchObject({
      framework: 'onnx',
      servingFile: 'model.onnx',
      lineage: { source: 'import' },
    });
    const paths = (body.files as { path: string }[]).map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(['model.onnx', 'conversion.json', 'source/saved_model/saved_model.pb']),
    );
    expect(body.metrics).toMatchObject({ conversion: { sourceFormat: 'saved_model' } });
    const parts = await getJson(`${origin}/v1/models/saved/versions/v1/bundle-parts`);
    expect((parts.body.attestations as { name: string }[]).map(({ name }) => name)).toEqual([
      'provenance',
      'meta',
      'conversion',
    ]);
    expect(await postJson(`${origin}/v1/models/saved/versions/v1/verify`, {})).toMatchObject({ status: 200 });
  });

  test('the same again is the same version at once; other bytes under its label are a conflict', async () => {
    const again = await send('saved', 'v1', packed('m.tar.gz', tarGzOf(savedModel)));
    expect(again.status).toBe(200);
    const other = await send('saved', 'v1', packed('g.zip', zipOf(graph)));
    expect(other).toMatchObject({ status: 409, body: { code: 'version_conflict' } });
  });
});

describe('a TF.js graph with framework=onnx', () => {
  test('answers 202 to who will not wait, and then as TensorFlow does', async () => {
    const reply = await send('graph', 'v1', graph, 'respond-async');
    expect(reply.status).toBe(202);
    expect(reply.headers.get('preference-applied')).toBe('respond-async');
    const path = reply.headers.get('location') as string;
    expect(path).toBe(`/v1/imports/${reply.body.importId}`);
    const twice = await send('graph', 'v1', packed('g.zip', zipOf(graph)), 'respond-async');
    expect([200, 202]).toContain(twice.status);
    if (twice.status === 202) expect(twice.body.importId).toBe(reply.body.importId);
    const done = await ended(path);
    expect(done).toMatchObject({ state: 'registered', format: 'tfjs_graph' });
    expect(done.conversion).toMatch(/^\/v1\/conversions\/[0-9a-f-]{36}$/);
    await eventually(async () =>
      expect((await getJson(`${origin}${path}`)).body).toMatchObject({
        attempts: 1,
        startedAt: expect.stringMatching(/Z$/),
      }),
    );
    expect(await postJson(`${origin}${path}/cancel`, {})).toMatchObject({
      status: 409,
      body: { code: 'import_not_open' },
    });
    const { body } = await postJson(`${stack.inference?.origin}/predict`, {
      modelId: 'graph',
      features: { image: samples.inputs.slice(0, 32 * 32 * 3) },
    });
    for (const [i, expected] of (samples.outputs[0] as number[]).entries())
      expect(
        Math.abs(((body.prediction as { scores: number[] }).scores[i] as number) - expected),
      ).toBeLessThan(TOLERANCE);
  });

  test('and the same graph with framework=tensorflow: one model on both runtimes', async () => {
    expect((await send('graph', 'v2', graph, undefined, 'tensorflow')).status).toBe(201);
    const { body } = await getJson(`${origin}/model/versions?modelId=graph`);
    expect(body.versions).toMatchObject([
      { version: 'v1', framework: 'onnx' },
      { version: 'v2', framework: 'tensorflow' },
    ]);
  });
});

describe('Keras files', () => {
  const file = (name: string): Entry[] => [
    { path: name, bytes: readFileSync(new URL(`./fixtures/${name}`, import.meta.url)) },
  ];

  test('a plain one is converted and served', async () => {
    const reply = await send('keras', 'v1', file('dense.keras'), undefined, 'tensorflow');
    expect(reply).toMatchObject({ status: 201 });
    const { body } = await getJson(`${origin}/v1/models/keras/versions/v1`);
    expect(body).toMatchObject({ framework: 'onnx', lineage: { format: 'keras' } });
    expect((body.files as { path: string }[]).map(({ path }) => path)).toContain('source/model.keras');
  });

  test('one with a Lambda layer is refused, and nothing is registered', async () => {
    const reply = await send('lambda', 'v1', file('lambda.keras'), undefined, 'tensorflow');
    expect(reply).toMatchObject({ status: 422, body: { code: 'unsafe_model' } });
    expect((await getJson(`${origin}/model/lambda/v1`)).status).toBe(404);
  });
});

describe('weights', () => {
  const weights = filesOf(new URL('weights/', savedModels)).filter(({ path }) =>
    ['model.safetensors', 'architecture.json'].includes(path),
  );

  test('with their architecture become a graph that is served with the names of its classes', async () => {
    const reply = await send('spectra', 'v1', weights);
    expect(reply).toMatchObject({ status: 201, body: { success: true } });
    const { body } = await getJson(`${origin}/v1/models/spectra/versions/v1`);
    expect(body).toMatchObject({ framework: 'onnx', lineage: { source: 'import', format: 'weights' } });
    expect((body.files as { path: string }[]).map(({ path }) => path)).toEqual(
      expect.arrayContaining(['model.onnx', 'labels.txt', 'source/model.safetensors']),
    );
    const counts = Array.from(
      { length: 64 },
      (_, c) => 20 + Math.round(300 * Math.exp(-((c - 27) ** 2) / 8)),
    );
    const answer = await postJson(`${stack.inference?.origin}/v2/models/spectra/infer`, {
      inputs: [{ name: 'spectrum', shape: [1, 64], datatype: 'FP32', data: counts }],
      outputs: [{ name: 'probabilities', parameters: { classification: 2 } }],
    });
    const [first] = answer.body.outputs as { data: string[] }[];
    expect(first?.data[0]).toMatch(/^[\d.]+:2:class 2$/);
  });

  test('that lack a tensor are refused by its name, and nothing is registered', async () => {
    const renamed = weights.map(({ path, bytes }) => ({
      path,
      bytes: path.endsWith('.json')
        ? Buffer.from(bytes.toString().replace('layers.0.bias', 'layers.0.offset'))
        : bytes,
    }));
    const reply = await send('lacking', 'v1', renamed);
    expect(reply).toMatchObject({ status: 422, body: { code: 'missing_tensor' } });
    expect((await getJson(`${origin}/model/lacking/v1`)).status).toBe(404);
  });
});

test('an import that is not there is 404', async () => {
  const { status, body } = await getJson(`${origin}/v1/imports/01890000-0000-7000-8000-000000000000`);
  expect({ status, code: body.code }).toEqual({ status: 404, code: 'import_not_found' });
});
