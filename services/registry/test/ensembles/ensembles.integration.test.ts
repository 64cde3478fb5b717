import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { RegistryStack } from '../support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from '../support/registry-stack.ts';

const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/${name}`, import.meta.url));
const FEATURES = 10;

let stack: RegistryStack;
let origin: string;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
  origin = stack.registry.origin;
  for (const [version, file] of [
    ['v1', 'model.onnx'],
    ['v2', 'other.onnx'],
  ] as const) {
    const fields = { modelId: 'iris', version, framework: 'onnx' };
    expect((await upload(origin, fields, fixture(file))).status).toBe(201);
  }
});
afterAll(() => stack?.stop());

/** A generator of repeatable numbers in [0, 1). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

const next = numbers(5);
const mean = Array.from({ length: FEATURES }, next);
const scale = Array.from({ length: FEATURES }, () => next() + 0.1);
const rows = Array.from({ length: 20 }, () =>
  Array.from({ length: FEATURES }, () => Math.fround(next() * 4 - 2)),
);
const scaledRows = rows.map((row) =>
  row.map((x, i) =>
    Math.fround(Math.fround(x - Math.fround(mean[i] as number)) / Math.fround(scale[i] as number)),
  ),
);

const input = { name: 'features', dtype: 'float32', shape: [null, FEATURES] };
const scaler = {
  id: 'scale',
  kind: 'standard-scaler',
  parameters: { mean, scale },
  inputs: { x: 'features' },
  outputs: { y: 'scaled' },
};
const classify = (version: string, more: object = {}) => ({
  id: 'classify',
  kind: 'model',
  model: 'iris',
  version,
  inputs: { float_input: 'scaled' },
  outputs: { output_label: 'id', output_probability: 'scores' },
  ...more,
});
const species = {
  id: 'species',
  kind: 'label-map',
  parameters: { labels: { 0: 'setosa', 1: 'virginica' } },
  inputs: { x: 'id' },
  outputs: { y: 'species' },
};
const spec = (version = 'v1') => ({
  inputs: [input],
  outputs: ['species', 'scores'],
  steps: [scaler, classify(version), species],
});

type Reply = { status: number; body: Record<string, unknown> };
const register = (name: string, body: object): Promise<Reply> =>
  postJson(`${origin}/v1/models/${name}/ensembles`, body);

/** Asks the data plane with typed tensors; gives the outputs by name, flat. */
async function infer(model: string, name: string, data: number[][]): Promise<Record<string, unknown[]>> {
  const { status, body } = await postJson(`${stack.inference?.origin}/v2/models/${model}/infer`, {
    inputs: [{ name, shape: [data.length, FEATURES], datatype: 'FP32', data: data.flat() }],
  });
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  const outputs = body.outputs as { name: string; data: unknown[] }[];
  return Object.fromEntries(outputs.map((output) => [output.name, output.data]));
}

describe('a scaler, a classifier and a label map', () => {
  test('answer as one model, to the bit as each done by hand', async () => {
    const { status, body } = await register('flow', { version: 'v1', ...spec() });
    expect({ status, body }).toMatchObject({
      status: 201,
      body: { model: 'flow', version: 'v1', framework: 'ensemble', servingFile: 'ensemble.json' },
    });
    expect(body.files).toEqual([expect.objectContaining({ path: 'ensemble.json' })]);
    const byHand = await infer('iris/versions/v1', 'float_input', scaledRows);
    const whole = await infer('flow', 'features', rows);
    expect(whole.scores).toEqual(byHand.output_probability);
    expect(whole.species).toEqual(
      (byHand.output_label as number[]).map((id) => (id === 0 ? 'setosa' : 'virginica')),
    );
    expect(new Set(whole.species).size).toBe(2);
  });

  test('it answers on /predict, and is an ensemble in metadata and configuration', async () => {
    const predicted = await postJson(`${stack.inference?.origin}/predict`, {
      modelId: 'flow',
      features: { features: rows[0] },
    });
    expect(predicted).toMatchObject({ status: 200, body: { modelVersion: 'v1' } });
    const at = `${stack.inference?.origin}/v2/models/flow`;
    expect((await getJson(at)).body).toMatchObject({
      platform: 'ensemble',
      inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, FEATURES] }],
      outputs: [
        { name: 'species', datatype: 'BYTES', shape: [-1] },
        { name: 'scores', datatype: 'FP32', shape: [-1, 2] },
      ],
    });
    const config = (await getJson(`${at}/config`)).body as {
      ensemble_scheduling: { step: Record<string, unknown>[] };
    };
    expect(config.ensemble_scheduling.step).toEqual([
      {
        model_name: 'builtin:standard-scaler',
        model_version: -1,
        input_map: { x: 'features' },
        output_map: { y: 'scaled' },
      },
      expect.objectContaining({ model_name: 'iris', model_version: 1 }),
      expect.objectContaining({ model_name: 'builtin:label-map' }),
    ]);
  });

  test('the same one again is found, another one under its label is a conflict', async () => {
    expect((await register('flow', { version: 'v1', ...spec() })).status).toBe(200);
    expect(await register('flow', { version: 'v1', ...spec('v2') })).toMatchObject({
      status: 409,
      body: { code: 'version_conflict' },
    });
  });

  test('its package is signed and says what it was put together from', async () => {
    const verified = await postJson(`${origin}/v1/models/flow/versions/v1/verify`, {});
    expect(verified).toMatchObject({ status: 200, body: { verified: true, files: 1 } });
    const parts = (await getJson(`${origin}/v1/models/flow/versions/v1/bundle-parts`)).body as {
      files: { url: string }[];
      attestations: { predicateType: string; bundle: { dsseEnvelope: { payload: string } } }[];
    };
    const member = (await getJson(`${origin}/v1/models/iris/versions/v1`)).body;
    const signed = (await (await fetch(parts.files[0]?.url ?? '')).json()) as {
      steps: { member?: object }[];
    };
    expect(signed.steps[1]?.member).toEqual({
      model: 'iris',
      version: 'v1',
      modelVersionId: member.id,
      packageDigest: member.packageDigest,
    });
    const made = parts.attestations.find(({ predicateType }) => predicateType.includes('slsa'));
    const statement = Buffer.from(made?.bundle.dsseEnvelope.payload ?? '', 'base64').toString();
    expect(statement).toContain(member.packageDigest as string);
  });
});

test('two models side by side are joined again, and steps say how long they took', async () => {
  const side = (id: string, version: string) =>
    classify(version, { id, outputs: { output_probability: id } });
  const steps = [
    { id: 'best', kind: 'arg-max', inputs: { x: 'all' }, outputs: { y: 'best' } },
    { id: 'join', kind: 'concat', inputs: { x0: 'left', x1: 'right' }, outputs: { y: 'all' } },
    side('left', 'v1'),
    side('right', 'v2'),
    scaler,
  ];
  const body = { version: 'v1', inputs: [input], outputs: ['all', 'best'], steps };
  expect((await register('diamond', body)).status).toBe(201);
  const whole = await infer('diamond', 'features', rows);
  const left = (await infer('iris/versions/v1', 'float_input', scaledRows)).output_probability as number[];
  const right = (await infer('iris/versions/v2', 'float_input', scaledRows)).output_probability as number[];
  const all = rows.map((_, i) => [...left.slice(2 * i, 2 * i + 2), ...right.slice(2 * i, 2 * i + 2)]);
  expect(whole.all).toEqual(all.flat());
  expect(whole.best).toEqual(all.map((row) => row.indexOf(Math.max(...row))));
  const response = await fetch(`${stack.inference?.origin}/predict`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ modelId: 'diamond', features: { features: rows[0] } }),
  });
  const timing = response.headers.get('server-timing') ?? '';
  for (const { id } of steps) expect(timing).toMatch(new RegExp(`step\\.${id};dur=[0-9.]+`));
});

describe('members', () => {
  test('a moved alias changes nothing', async () => {
    const alias = (version: string) =>
      fetch(`${origin}/v1/models/iris/aliases/champion`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ version }),
      });
    expect((await alias('v1')).status).toBe(200);
    expect((await register('aliased', { version: 'v1', ...spec('@champion') })).status).toBe(201);
    const before = await infer('aliased', 'features', rows);
    expect((await alias('v2')).status).toBe(200);
    expect(await infer('aliased', 'features', rows)).toEqual(before);
    expect((await register('aliased', { version: 'v2', ...spec('@champion') })).status).toBe(201);
    expect(await infer('aliased/versions/v2', 'features', rows)).not.toEqual(before);
  });

  test('one that is archived takes the ensemble out of service, and back in with it', async () => {
    const fields = { modelId: 'fleeting', version: 'v1', framework: 'onnx' };
    expect((await upload(origin, fields, fixture('model.onnx'))).status).toBe(201);
    const steps = [scaler, classify('v1', { model: 'fleeting' }), species];
    expect((await register('leaning', { version: 'v1', ...spec(), steps })).status).toBe(201);
    const stage = (to: string) => postJson(`${origin}/v1/models/fleeting/versions/v1/stage`, { stage: to });
    const ask = () =>
      postJson(`${stack.inference?.origin}/predict`, { modelId: 'leaning', features: { features: rows[0] } });
    expect((await ask()).status).toBe(200);
    expect((await stage('archived')).status).toBe(200);
    const refused = await eventually(async () => {
      const answer = await ask();
      expect(answer).toMatchObject({ status: 403, body: { code: 'stage_not_servable' } });
      return answer;
    });
    expect(refused.body.detail).toContain('Step "classify": Version "v1" of "fleeting" is archived');
    expect((await register('leaning', { version: 'v2', ...spec(), steps })).body).toMatchObject({
      code: 'stage_not_servable',
      detail: expect.stringContaining('Step "classify"'),
    });
    expect((await stage('staging')).status).toBe(200);
    await eventually(async () => expect((await ask()).status).toBe(200), { timeoutMs: 20_000 });
  });
});

describe('what contradicts itself is refused, with the step named, and leaves nothing', () => {
  const bare = spec();
  const cases: [what: string, body: object, status: number, code: string, detail: RegExp][] = [
    [
      'a circle',
      { ...bare, steps: [{ ...scaler, inputs: { x: 'scores' } }, classify('v1'), species] },
      422,
      'invalid_ensemble',
      /^Step "scale": the steps "scale", "classify" wait for each other/,
    ],
    [
      'a shape that the member does not take',
      {
        ...bare,
        inputs: [{ ...input, shape: [null, 4] }],
        steps: [{ ...scaler, parameters: { mean: [0], scale: [1] } }, classify('v1'), species],
      },
      422,
      'invalid_ensemble',
      /^Step "classify": its input "float_input" takes \[N, 10\], but "scaled" is \[N, 4\]/,
    ],
    [
      'a type that the member does not take',
      { ...bare, inputs: [{ ...input, dtype: 'float64' }] },
      422,
      'invalid_ensemble',
      /^Step "classify": .*float32, but "scaled" is float64/,
    ],
    [
      'an unknown model',
      { ...bare, steps: [scaler, classify('v1', { model: 'rose' }), species] },
      404,
      'model_not_found',
      /^Step "classify": .*rose/,
    ],
    ['an unknown version', spec('v9'), 404, 'version_not_found', /^Step "classify": .*v9/],
    [
      'an ensemble in an ensemble',
      { ...bare, steps: [scaler, classify('v1', { model: 'flow' }), species] },
      422,
      'invalid_ensemble',
      /^Step "classify": v1 of flow is an ensemble/,
    ],
    [
      'a model of a built-in step',
      { ...bare, steps: [{ ...scaler, model: 'iris' }, classify('v1'), species] },
      422,
      'invalid_ensemble',
      /^Step "scale": only/,
    ],
    [
      'a model that is not named',
      { ...bare, steps: [scaler, classify('v1', { model: undefined }), species] },
      422,
      'invalid_ensemble',
      /^Step "classify": .*add "model"/,
    ],
    [
      'a label that the model gives and the map lacks',
      { ...bare, steps: [scaler, classify('v1'), { ...species, parameters: { labels: { 7: 'x' } } }] },
      422,
      'invalid_ensemble',
      /^The first run failed. Step "species": [01] has no label/,
    ],
    [
      'too many steps',
      { ...bare, steps: Array.from({ length: 33 }, () => scaler) },
      400,
      'invalid_request',
      /steps/,
    ],
    [
      'an id that no header can hold',
      { ...bare, steps: [{ ...scaler, id: 'a b' }, classify('v1'), species] },
      400,
      'invalid_request',
      /id/,
    ],
    ['a field that is not known', { ...bare, colour: 'red' }, 400, 'unknown_field', /colour/],
  ];
  test.each(cases)('%s', async (_, body, status, code, detail) => {
    const name = `refused-${cases.findIndex((one) => one[1] === body)}`;
    const refused = await register(name, { version: 'v1', ...body });
    expect(refused).toMatchObject({ status, body: { code } });
    expect(refused.body.detail).toMatch(detail);
    expect((await getJson(`${origin}/v1/models/${name}/versions/v1`)).status).toBe(404);
  });
});
