import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

let serving: Serving;

beforeAll(async () => {
  serving = await startServing();
});

afterAll(() => serving.stop());

describe('open inference protocol', () => {
  const infer = (body: string | Buffer, headers: Record<string, string> = {}, path = '/v2/models/v2/infer') =>
    serving.post(path, body, headers);
  const tensor = (changes: object = {}) => ({
    name: 'float_input',
    shape: [1, 10],
    datatype: 'FP32',
    data: ROW,
    ...changes,
  });
  const json = (inputs: object[], more: object = {}) => JSON.stringify({ id: 'i', inputs, ...more });

  function binary(header: object, values: number[]): [Buffer, Record<string, string>] {
    const head = Buffer.from(JSON.stringify(header));
    const body = Buffer.concat([head, Buffer.from(new Float32Array(values).buffer)]);
    return [body, { 'inference-header-content-length': String(head.length) }];
  }

  const binaryInput = tensor({ data: undefined, parameters: { binary_data_size: 40 } });

  beforeAll(async () => {
    await serving.registry.add('v2', fixture('classifier'));
  });

  test('metadata, live and ready', async () => {
    const get = async (path: string) => {
      const response = await fetch(`${serving.origin}${path}`);
      return { status: response.status, body: await response.json() };
    };
    expect(await get('/v2/health/live')).toEqual({ status: 200, body: { live: true } });
    expect(await get('/v2/health/ready')).toEqual({ status: 200, body: { ready: true } });
    expect(await get('/v2/models/v2/ready')).toMatchObject({ status: 200, body: { ready: true } });
    expect((await get('/v2')).body).toMatchObject({
      extensions: expect.arrayContaining(['binary_tensor_data']),
    });
    expect(await get('/v2/models/none/ready')).toMatchObject({
      status: 404,
      body: { error: expect.any(String) },
    });
    await serving.registry.add('no-model', Buffer.from('not a model'));
    expect(await get('/v2/models/no-model/ready')).toMatchObject({
      status: 503,
      body: { code: 'model_not_ready' },
    });
    expect((await get('/v2/models/v2/versions/1')).body).toEqual({
      name: 'v2',
      versions: ['1'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'float_input', datatype: 'FP32', shape: [-1, 10] }],
      outputs: [
        { name: 'output_label', datatype: 'INT64', shape: [-1] },
        { name: 'output_probability', datatype: 'FP32', shape: [-1, 2] },
      ],
    });
  });

  test('JSON and binary tensors give the same answer', async () => {
    const asJson = await infer(json([tensor({ data: [ROW] })]));
    expect(asJson.body).toMatchObject({ model_name: 'v2', model_version: '1', id: 'i' });
    const outputs = asJson.body.outputs as { name: string; shape: number[]; data: number[] }[];
    expect(outputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['output_label', [1]],
      ['output_probability', [1, 2]],
    ]);
    const [body, headers] = binary(
      {
        inputs: [binaryInput],
        outputs: [{ name: 'output_probability' }],
        parameters: { binary_data_output: true },
      },
      ROW,
    );
    const response = await fetch(`${serving.origin}/v2/models/v2/infer`, {
      method: 'POST',
      body: new Uint8Array(body),
      headers,
    });
    const length = Number(response.headers.get('inference-header-content-length'));
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(JSON.parse(bytes.toString('utf8', 0, length)).outputs).toEqual([
      { name: 'output_probability', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } },
    ]);
    expect(new Float32Array(bytes.buffer.slice(bytes.byteOffset + length))).toEqual(
      new Float32Array(outputs[1]?.data ?? []),
    );
  });

  test('raw and compressed requests', async () => {
    const raw = await fetch(`${serving.origin}/v2/models/v2/infer`, {
      method: 'POST',
      body: new Uint8Array(new Float32Array([...ROW, ...ROW]).buffer),
      headers: { 'inference-header-content-length': '0' },
    });
    expect(raw.status).toBe(200);
    expect(raw.headers.get('content-type')).toContain('octet-stream');
    expect((await infer(gzipSync(json([tensor()])), { 'content-encoding': 'gzip' })).status).toBe(200);
    const [plain, plainHeaders] = binary({ id: 'unaligned', inputs: [binaryInput] }, ROW);
    for (const padding of ['', ' ', '  ', '   ']) {
      const body = gzipSync(Buffer.concat([Buffer.from(padding), plain]));
      const length = Number(plainHeaders['inference-header-content-length']) + padding.length;
      const headers = { 'content-encoding': 'gzip', 'inference-header-content-length': String(length) };
      expect((await infer(body, headers)).status).toBe(200);
    }
    const bomb = gzipSync(Buffer.alloc(5_000_000, ' '));
    expect((await infer(bomb, { 'content-encoding': 'gzip' })).status).toBe(413);
    expect((await infer('x', { 'content-encoding': 'gzip' })).status).toBe(400);
    expect((await infer('x', { 'content-encoding': 'br' })).status).toBe(415);
  });

  test.each<[string, object | string, number]>([
    ['no inputs', { id: 'x' }, 400],
    ['unknown output', { inputs: [tensor()], outputs: [{ name: 'none' }] }, 400],
    ['unknown field', { inputs: [tensor()], extra: 1 }, 400],
    ['wrong datatype', { inputs: [tensor({ datatype: 'FP64' })] }, 400],
    ['wrong shape', { inputs: [tensor({ shape: [1, 9] })] }, 400],
    ['negative shape', { inputs: [tensor({ shape: [-1, 10] })] }, 400],
    ['shape over 2^53', { inputs: [tensor({ shape: [2 ** 40, 2 ** 40] })] }, 400],
    ['large shape, few values', { inputs: [tensor({ shape: [100_000_000, 10] })] }, 400],
    ['few values', { inputs: [tensor({ data: [1] })] }, 400],
    ['no values', { inputs: [tensor({ data: undefined })] }, 400],
    ['twice', { inputs: [tensor(), tensor()] }, 400],
    ['extra input', { inputs: [tensor(), tensor({ name: 'x' })] }, 400],
    ['not an object', '[1]', 400],
  ])('%s is refused', async (_case, body, status) => {
    const answer = await infer(typeof body === 'string' ? body : JSON.stringify(body));
    expect(answer).toMatchObject({ status, body: { error: expect.any(String) } });
  });

  test('binary data that does not fit its header is refused', async () => {
    const cases: [Buffer, Record<string, string>][] = [
      binary({ inputs: [binaryInput] }, ROW.slice(1)),
      binary({ inputs: [binaryInput] }, [...ROW, 1]),
      binary({ inputs: [binaryInput] }, [Number.NaN, ...ROW.slice(1)]),
      [Buffer.from('{}'), { 'inference-header-content-length': '3' }],
      [Buffer.from('{}'), { 'inference-header-content-length': '-1' }],
    ];
    for (const [body, headers] of cases) expect((await infer(body, headers)).status).toBe(400);
  });
});
