import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client, Tensor } from '@millrace/sdk';
import { createClient } from '@millrace/sdk';
import { eventually } from '@millrace/testing';
import type { Serving } from '../../services/inference/test/support/serving.ts';
import { fixture, ROW, startServing } from '../../services/inference/test/support/serving.ts';

let serving: Serving;
let client: Client;
/** Bodies that were sent, by their content type. */
const sent: string[] = [];

beforeAll(async () => {
  serving = await startServing();
  await serving.registry.add('classifier', fixture('classifier'));
  await serving.registry.add('texts', fixture('echo_string'));
  await serving.registry.add('types', fixture('echo'));
  const counting: typeof fetch = (input, init) => {
    const type = new Headers(init?.headers).get('content-type');
    if (type !== null) sent.push(type);
    return fetch(input, init);
  };
  client = createClient({ url: serving.origin, fetch: counting });
}, 60_000);

afterAll(() => serving.stop());

describe('predict', () => {
  test('typed and nested arrays take the shape and type that the model says, as bytes and as JSON', async () => {
    const wanted = await client.predict('classifier', { float_input: [ROW, ROW] });
    expect(sent.at(-1)).toBe('application/octet-stream');
    expect(wanted.output_probability).toMatchObject({ datatype: 'FP32', shape: [2, 2] });
    expect(wanted.output_label).toMatchObject({ datatype: 'INT64', shape: [2] });
    expect(wanted.output_probability?.data).toBeInstanceOf(Float32Array);
    expect(wanted.output_label?.data).toBeInstanceOf(BigInt64Array);
    const forms: Parameters<Client['predict']>[1][] = [
      { float_input: new Float32Array([...ROW, ...ROW]) },
      { float_input: new Float64Array([...ROW, ...ROW]) },
      { float_input: [...ROW, ...ROW] },
      { float_input: { datatype: 'FP32', shape: [2, 10], data: new Float32Array([...ROW, ...ROW]) } },
    ];
    for (const inputs of forms)
      for (const format of ['binary', 'json'] as const)
        expect(await client.predict('classifier', inputs, { format })).toEqual(wanted);
    expect(sent.at(-1)).toBe('application/json');
    const one = await client.predict('classifier', { float_input: ROW }, { outputs: ['output_label'] });
    expect(Object.keys(one)).toEqual(['output_label']);
    expect(one.output_label?.shape).toEqual([1]);
  });

  test('texts and every type of number come back as they went', async () => {
    const texts = ['', 'ü—', '日本', 'plain'];
    const { inputs } = await client.inference.modelMetadata('texts');
    const [name] = inputs.map((input) => input.name) as [string];
    for (const format of ['binary', 'json'] as const) {
      const outputs = await client.predict('texts', { [name]: texts }, { format });
      expect(Object.values(outputs)[0]).toMatchObject({ datatype: 'BYTES', data: texts });
    }
    const values: Record<string, Tensor['data']> = {
      BYTES: ['', 'ü'],
      BOOL: new Uint8Array([0, 1]),
      INT8: new Int8Array([-128, 127]),
      INT16: new Int16Array([-32_768, 1]),
      INT32: new Int32Array([-(2 ** 31), 7]),
      INT64: new BigInt64Array([-(2n ** 63n), 2n ** 53n + 1n]),
      UINT8: new Uint8Array([0, 255]),
      UINT16: new Uint16Array([0, 65_535]),
      UINT32: new Uint32Array([0, 2 ** 32 - 1]),
      UINT64: new BigUint64Array([0n, 2n ** 64n - 1n]),
      FP16: new Uint16Array([0x3c00, 0x8001]),
      FP32: new Float32Array([0.1, -1e30]),
      FP64: new Float64Array([0.1, 1e300]),
    };
    const { inputs: types } = await client.inference.modelMetadata('types');
    const tensors = types.map(({ name: input, datatype }): Tensor => {
      const data = values[datatype];
      if (data === undefined) throw new Error(`the fixture has a ${datatype}`);
      return { name: input, datatype: datatype as Tensor['datatype'], shape: [1, 2], data };
    });
    const { outputs } = await client.infer({ model: 'types', inputs: tensors, id: 'all' });
    expect(outputs.map(({ datatype, shape, data }) => [datatype, shape, data])).toEqual(
      tensors.map(({ datatype, shape, data }) => [datatype, shape, data]),
    );
    const asJson = client.infer({ model: 'types', inputs: tensors }, { format: 'json' });
    await expect(asJson).rejects.toMatchObject({
      code: 'invalid_type',
      message: expect.stringMatching(/FP16/),
    });
  });

  test('faults have the codes of the platform, those found before sending too', async () => {
    const rejected = async (code: string, work: Promise<unknown>) =>
      expect(work).rejects.toMatchObject({ code });
    const before = sent.length;
    await rejected('invalid_shape', client.predict('classifier', { float_input: [1, 2, 3] }));
    await rejected('invalid_shape', client.predict('classifier', { float_input: [[1], [2, 3]] }));
    await rejected('invalid_type', client.predict('classifier', { float_input: ROW.map(String) }));
    await rejected('invalid_type', client.predict('classifier', { float_input: new Int32Array(10) }));
    await rejected('extra_input', client.predict('classifier', { other: ROW }));
    expect(sent.length).toBe(before);
    await rejected('missing_input', client.predict('classifier', {}));
    await rejected('model_not_found', client.predict('absent', { x: [1] }));
    await rejected('version_not_found', client.predict('classifier', { float_input: ROW }, { version: '9' }));
    await rejected('not_finite', client.predict('classifier', { float_input: ROW.map(() => Number.NaN) }));
  });

  test('the words of /predict are still there', async () => {
    const answer = await client.predict({ modelId: 'classifier', features: { float_input: ROW } });
    expect(answer).toMatchObject({ modelVersion: 'v1', inferenceId: expect.any(String) });
  });

  test('whom a prediction is for is recorded', async () => {
    await client.predict('classifier', { float_input: ROW }, { userId: 'ada', sessionId: 's-1' });
    await eventually(() => {
      const all = serving.batches.flatMap(({ predictions }) => predictions);
      expect(all).toContainEqual(expect.objectContaining({ userId: 'ada', sessionId: 's-1' }));
    });
  });

  test('a version that takes something else is noticed', async () => {
    await serving.registry.add('changing', fixture('classifier'));
    await client.predict('changing', { float_input: ROW });
    await serving.registry.add('changing', fixture('echo_string'));
    const { inputs } = await client.inference.modelMetadata('changing', '2');
    const [name] = inputs.map((input) => input.name) as [string];
    expect(name).not.toBe('float_input');
    const outputs = await client.predict('changing', { [name]: ['now texts'] }, { version: '2' });
    expect(Object.values(outputs)[0]?.data).toEqual(['now texts']);
  });
});

test('health and metadata', async () => {
  expect(await client.inference.isLive()).toBe(true);
  expect(await client.inference.isReady()).toBe(true);
  expect(await client.inference.isModelReady('classifier')).toBe(true);
  expect(await client.inference.isModelReady('absent')).toBe(false);
  expect((await client.inference.serverMetadata()).extensions).toContain('binary_tensor_data');
  const away = createClient({ url: 'http://127.0.0.1:9' });
  await expect(away.inference.isLive()).rejects.toMatchObject({ code: 'dependency_unavailable' });
});
