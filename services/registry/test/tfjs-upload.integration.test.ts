import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Entry } from './support/archives.ts';
import { tarGzOf, zipOf } from './support/archives.ts';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, postJson, sendFiles, startRegistryStack } from './support/registry-stack.ts';

const fixtures = new URL('../../inference/test/fixtures/tfjs/', import.meta.url);
const filesOf = (name: string): Entry[] => {
  const folder = new URL(`${name}/`, fixtures);
  return readdirSync(folder).map((path) => ({ path, bytes: readFileSync(new URL(path, folder)) }));
};
const layers = filesOf('layers');
const graph = filesOf('graph');
const samples = JSON.parse(readFileSync(new URL('samples.json', fixtures), 'utf8')) as {
  inputs: number[];
  outputs: number[][];
};
const picture = samples.inputs.slice(0, 32 * 32 * 3);

let stack: RegistryStack;
let origin: string;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
  origin = stack.registry.origin;
});
afterAll(() => stack?.stop());

const send = (modelId: string, version: string, files: readonly Entry[], framework = 'tensorflow') =>
  sendFiles(origin, { modelId, version, framework }, files);

const packed = (path: string, bytes: Buffer): Entry[] => [{ path, bytes }];

async function scores(modelId: string, version: string, input: string): Promise<number[]> {
  const { status, body } = await postJson(`${stack.inference?.origin}/predict`, {
    modelId,
    version,
    features: { [input]: picture },
  });
  expect({ status, body }).toMatchObject({ status: 200 });
  return (body.prediction as { scores: number[] }).scores;
}

describe('a TF.js model', () => {
  test.each<[string, string, Entry[]]>([
    ['layers as .zip', 'first_input', packed('model.zip', zipOf(layers))],
    ['layers file by file', 'first_input', layers],
    ['graph as .tar.gz', 'image', packed('model.tar.gz', tarGzOf(graph))],
  ])('%s is served by TensorFlow.js from its next prediction on', async (what, input, files) => {
    const modelId = what.replaceAll(' ', '-');
    expect(await send(modelId, 'v1', files)).toMatchObject({
      status: 201,
      body: { success: true, version: 'v1' },
    });
    const answer = await scores(modelId, 'v1', input);
    for (const [i, expected] of (samples.outputs[0] as number[]).entries())
      expect(Math.abs((answer[i] as number) - expected)).toBeLessThan(1e-6);
    const { body } = await getJson(`${origin}/model/${modelId}/v1`);
    expect(body).toMatchObject({ framework: 'tensorflow' });
    expect(JSON.parse(String(body.inputSchema))).toMatchObject({
      inputs: [{ name: input, dtype: 'float32', shape: [null, 32, 32, 3] }],
    });
  });

  test('its package is what was sent, signed, and its lineage names each file', async () => {
    const { body } = await getJson(`${origin}/v1/models/graph-as-.tar.gz/versions/v1`);
    const paths = graph.map(({ path }) => path).sort();
    expect((body.files as { path: string }[]).map(({ path }) => path).sort()).toEqual(paths);
    expect(body).toMatchObject({
      servingFile: 'model.json',
      lineage: { source: 'upload', format: 'graph-model' },
    });
    expect((body.lineage as { files: { path: string }[] }).files.map(({ path }) => path).sort()).toEqual(
      paths,
    );
    const verified = await postJson(`${origin}/v1/models/graph-as-.tar.gz/versions/v1/verify`, {});
    expect(verified).toMatchObject({ status: 200, body: { verified: true, files: 2 } });
  });

  test('the same again, packed otherwise, is the same version; other bytes are a conflict', async () => {
    const again = await send('layers-as-.zip', 'v1', packed('m.tgz', tarGzOf(layers)));
    expect(again.status).toBe(200);
    const other = await send('layers-as-.zip', 'v1', packed('m.zip', zipOf(graph)));
    expect(other).toMatchObject({ status: 409, body: { code: 'version_conflict' } });
  });

  const changed = (files: Entry[], change: (json: Record<string, never>) => unknown): Entry[] =>
    files.map((file) =>
      file.path === 'model.json'
        ? { ...file, bytes: Buffer.from(JSON.stringify(change(JSON.parse(String(Buffer.from(file.bytes)))))) }
        : file,
    );
  const text = (files: Entry[], from: string, to: string): Entry[] =>
    changed(files, (json) => JSON.parse(JSON.stringify(json).replaceAll(from, to)));

  test.each<[string, Entry[], string]>([
    [
      'weights by an address',
      text(layers, 'group1-shard1of2.bin', 'https://example.com/a.bin'),
      'external_data_path',
    ],
    ['a layer of its own', text(layers, '"class_name":"Dense"', '"class_name":"Mine"'), 'unsupported_layer'],
    [
      'an operator that reads files',
      text(graph, '"op":"Softmax"', '"op":"ReadFile"'),
      'unsupported_operator',
    ],
    ['an operator without a kernel', text(graph, '"op":"Relu"', '"op":"IRFFT"'), 'unsupported_operator'],
    ['weights that do not fit', text(layers, '"filters":8', '"filters":9'), 'model_load_failed'],
    ['one weight file less', layers.slice(1), 'weights_mismatch'],
  ])('with %s is refused and nothing of it stays', async (what, files, code) => {
    const modelId = what.replaceAll(' ', '-');
    const reply = await send(modelId, 'v1', files);
    expect(reply).toMatchObject({ status: 422, body: { code } });
    expect((await getJson(`${origin}/model/${modelId}/v1`)).status).toBe(404);
  });

  test('of layers is not converted, and the answer says what to do', async () => {
    const reply = await send('to-onnx', 'v1', layers, 'onnx');
    expect(reply).toMatchObject({
      status: 422,
      body: { code: 'unsupported_framework', error: expect.stringContaining('framework=tensorflow') },
    });
  });
});

describe('a layers model in an ensemble', () => {
  const classes = ['cat', 'dog', 'bird', 'fish'];
  const spec = (model: string) => ({
    inputs: [{ name: 'pixels', dtype: 'uint8', shape: [null, 32, 32, 3] }],
    outputs: ['class', 'scores'],
    steps: [
      { id: 'normalise', kind: 'normalise-image', inputs: { x: 'pixels' }, outputs: { y: 'image' } },
      {
        id: 'look',
        kind: 'model',
        model,
        version: 'v1',
        inputs: { first_input: 'image' },
        outputs: { scores: 'scores' },
      },
      { id: 'best', kind: 'arg-max', inputs: { x: 'scores' }, outputs: { y: 'index' } },
      {
        id: 'name',
        kind: 'label-map',
        parameters: { labels: { ...classes } },
        inputs: { x: 'index' },
        outputs: { y: 'class' },
      },
    ],
  });
  const pixels = Array.from({ length: picture.length }, (_, i) => (i * 37) % 256);
  const outputsOf = async (model: string) => {
    const { body } = await getJson(`${origin}/v1/models/${model}/versions/v1`);
    return body.outputs;
  };
  type Reply = { prediction: { scores: number[]; class: string[] } };
  const ask = async (modelId: string, features: object): Promise<Reply> => {
    const asked = await postJson(`${stack.inference?.origin}/predict`, { modelId, features });
    expect(asked).toMatchObject({ status: 200 });
    return asked.body as Reply;
  };

  test('answers as each step done by hand, and the registry knows the shapes that only the loaded model told', async () => {
    await send('member', 'v1', layers);
    expect(await outputsOf('member')).toEqual([{ name: 'scores', dtype: 'float32', shape: [null, 4] }]);
    const made = await postJson(`${origin}/v1/models/whole/ensembles`, { version: 'v1', ...spec('member') });
    expect(made).toMatchObject({ status: 201, body: { framework: 'ensemble' } });
    const whole = (await ask('whole', { pixels })).prediction;
    const image = pixels.map((pixel) => Math.fround(pixel * Math.fround(1 / 255)));
    const alone = (await ask('member', { first_input: image })).prediction;
    expect(whole.scores).toEqual(alone.scores);
    expect(whole.class).toEqual([classes[alone.scores.indexOf(Math.max(...alone.scores))]]);
  });

  test('that was never loaded is loaded for its shapes; what does not fit them is refused', async () => {
    const fields = { modelId: 'shelved', version: 'v1', framework: 'tensorflow', stage: 'archived' };
    expect((await sendFiles(origin, fields, layers)).status).toBe(201);
    expect(await outputsOf('shelved')).toMatchObject([{ name: 'scores', shape: null }]);
    const stage = { stage: 'staging' };
    expect((await postJson(`${origin}/v1/models/shelved/versions/v1/stage`, stage)).status).toBe(200);
    const scaled = {
      id: 'scale',
      kind: 'standard-scaler',
      parameters: { mean: [1, 2, 3], scale: 1 },
      inputs: { x: 'scores' },
      outputs: { y: 'class' },
    };
    const asked = spec('shelved');
    const body = { version: 'v1', ...asked, steps: [...asked.steps.slice(0, 2), scaled] };
    expect(await postJson(`${origin}/v1/models/odd/ensembles`, body)).toMatchObject({
      status: 422,
      body: { code: 'invalid_ensemble', detail: expect.stringContaining('Step "scale"') },
    });
    expect(await outputsOf('shelved')).toEqual([{ name: 'scores', dtype: 'float32', shape: [null, 4] }]);
    const whole = await postJson(`${origin}/v1/models/even/ensembles`, { version: 'v1', ...asked });
    expect(whole.status).toBe(201);
  });
});
