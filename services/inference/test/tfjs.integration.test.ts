import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ResolvedVersion } from '@millrace/contracts';
import { blobKey } from '@millrace/storage';
import { eventually } from '@millrace/testing';
import { tfjsFixture, tfjsSamples } from './engine/tfjs-files.ts';
import type { Serving } from './support/serving.ts';
import { fixture, startServing } from './support/serving.ts';

const ROW = 32 * 32 * 3;
/** The same model on both runtimes: sums of float32 in another order. */
const TOLERANCE = 1e-6;
const picture = tfjsSamples.inputs.slice(0, ROW);
const expected = tfjsSamples.outputs[0] as number[];
const versions: ResolvedVersion[] = [];

let serving: Serving;

beforeAll(async () => {
  serving = await startServing();
  const tfjs = async (model: string, name: 'layers' | 'graph', version: string) => {
    const { 'model.json': json, ...files } = tfjsFixture(name);
    const options = { version, files, framework: 'tensorflow' as const };
    versions.push(await serving.registry.add(model, json as Buffer, options));
  };
  await tfjs('pictures', 'layers', 'layers');
  await tfjs('pictures', 'graph', 'graph');
  versions.push(await serving.registry.add('pictures', fixture('tfjs/same'), { version: 'onnx' }));
});
afterAll(() => serving?.stop());

const inputOf = (version: string): string => (version === 'layers' ? 'first_input' : 'image');
const outputOf = (version: string): string => (version === 'onnx' ? 'output_0' : 'scores');

function assertClose(actual: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of actual.entries())
    expect(Math.abs(value - (expected[i] as number))).toBeLessThan(TOLERANCE);
}

const predict = (version: string, values: readonly unknown[] = picture) =>
  serving.predict({ modelId: 'pictures', version, features: { [inputOf(version)]: values } });

type Outputs = { data: number[] }[];

/** Asks by the protocol with the picture as JSON, or as bytes both ways. */
async function infer(version: string, isBinary: boolean): Promise<number[]> {
  const bytes = Buffer.from(new Float32Array(picture).buffer);
  const content = isBinary ? { parameters: { binary_data_size: bytes.length } } : { data: picture };
  const head = JSON.stringify({
    inputs: [{ name: inputOf(version), datatype: 'FP32', shape: [1, 32, 32, 3], ...content }],
    outputs: [{ name: outputOf(version), parameters: { binary_data: isBinary } }],
  });
  const length = { 'inference-header-content-length': String(Buffer.byteLength(head)) };
  const response = await fetch(`${serving.origin}/v2/models/pictures/versions/${version}/infer`, {
    method: 'POST',
    body: isBinary ? Buffer.concat([Buffer.from(head), bytes]) : head,
    headers: isBinary ? length : { 'content-type': 'application/json' },
  });
  expect(response.status).toBe(200);
  if (!isBinary) return ((await response.json()) as { outputs: Outputs }).outputs[0]?.data ?? [];
  const answer = new Uint8Array(await response.arrayBuffer());
  const from = Number(response.headers.get('inference-header-content-length'));
  return [...new Float32Array(answer.slice(from).buffer)];
}

describe.each(['layers', 'graph', 'onnx'])('the same model as %s', (version) => {
  test('answers /predict, the protocol in JSON and in binary alike', async () => {
    const plain = await predict(version);
    expect(plain).toMatchObject({ status: 200, body: { modelVersion: version } });
    const scores = (plain.body.prediction as Record<string, number[]>)[outputOf(version)];
    assertClose(scores as number[]);
    assertClose(await infer(version, false));
    assertClose(await infer(version, true));
  });
});

test('each version says what runs it, and has statistics of its own', async () => {
  const get = async (path: string) =>
    (await (await fetch(`${serving.origin}${path}`)).json()) as Record<string, unknown>;
  expect(await get('/v2/models/pictures/versions/graph/config')).toMatchObject({
    platform: 'tensorflow_js',
    backend: 'tfjs',
    default_model_filename: 'model.json',
  });
  expect(await get('/v2/models/pictures/versions/onnx')).toMatchObject({ platform: 'onnxruntime_onnx' });
  const { model_stats } = (await get('/v2/models/pictures/stats')) as {
    model_stats: { version: string; inference_stats: { success: { count: number; ns: number } } }[];
  };
  expect(model_stats.map(({ version }) => version).sort()).toEqual(['1', '2', '3']);
  for (const { inference_stats } of model_stats) {
    expect(inference_stats.success.count).toBe(3);
    expect(inference_stats.success.ns).toBeGreaterThan(0);
  }
  await eventually(() => {
    const frameworks = new Set(serving.batches.map((batch) => `${batch.version} ${batch.framework}`));
    expect([...frameworks].sort()).toEqual(['graph tensorflow', 'layers tensorflow', 'onnx onnx']);
  });
});

test('bad inputs of a TF.js model are refused by its signature, before it runs', async () => {
  const refused = async (values: unknown[], name = 'image') => {
    const features = { [name]: values };
    const { status, body } = await serving.predict({ modelId: 'pictures', version: 'graph', features });
    return { status, code: body.code };
  };
  expect(await refused([1, 2, 3])).toEqual({ status: 400, code: 'invalid_shape' });
  expect(await refused(picture.map((_, i) => (i === 7 ? 'x' : 1)))).toEqual({
    status: 400,
    code: 'invalid_type',
  });
  expect(await refused(picture, 'other')).toMatchObject({ status: 400 });
});

test('a killed host costs the request that it had, and is restarted with the model', async () => {
  const { models } = (await (await fetch(`${serving.origin}/v1/inference/models`)).json()) as {
    models: { version: string; hostPids: number[] }[];
  };
  const pid = models.find(({ version }) => version === 'graph')?.hostPids[0] as number;
  const inHand = predict('graph');
  process.kill(pid, 'SIGKILL');
  const { status, body } = await inHand;
  expect(status === 200 || body.code === 'model_crashed').toBe(true);
  await eventually(async () => expect((await predict('graph')).status).toBe(200), { timeoutMs: 20_000 });
});

test('a weight file that was changed in storage is not loaded', async () => {
  const { 'model.json': json, ...files } = tfjsFixture('layers');
  const shard = Buffer.from(files['group1-shard1of2.bin'] as Buffer);
  shard[5] = (shard[5] as number) ^ 1;
  const added = await serving.registry.add('damaged', json as Buffer, {
    files: { ...files, 'group1-shard1of2.bin': shard },
    framework: 'tensorflow',
  });
  const file = added.manifest.files.find(({ path }) => path === 'group1-shard1of2.bin');
  await serving.storage.putObject(blobKey(file?.sha256 ?? ''), Buffer.alloc(shard.length));
  const { status, body } = await serving.predict({ modelId: 'damaged', features: { first_input: picture } });
  expect({ status, code: body.code }).toEqual({ status: 502, code: 'artifact_corrupt' });
});
