import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import { ask, classifierBody } from '../support/bus-requests.ts';
import type { Serving } from '../support/serving.ts';
import { fixture, ROW, startServing } from '../support/serving.ts';

let serving: Serving;
let modelId: string;

beforeAll(async () => {
  serving = await startServing();
  const { registry } = serving;
  ({ modelId } = await registry.add('over nats', fixture('classifier')));
  await registry.add('over nats', fixture('classifier'), { version: 'second' });
}, 60_000);

afterAll(() => serving.stop());

const overHttp = async (body: string) =>
  (await serving.post('/v2/models/over%20nats/versions/1/infer', body)).body;

describe('inference by request/reply', () => {
  test('answers what HTTP answers, for the version that is named', async () => {
    const json = classifierBody({ id: 'same' });
    const answer = await ask(serving.bus, modelId, classifierBody({ id: 'same', model_version: '1' }));
    expect(answer.json).toEqual(await overHttp(json));
    expect(answer.json).toMatchObject({ model_name: 'over nats', model_version: '1', id: 'same' });
    expect((await ask(serving.bus, modelId, json)).json).toMatchObject({ model_version: '2' });
    const labelled = await ask(serving.bus, modelId, classifierBody({ model_version: 'second' }));
    expect(labelled.json).toMatchObject({ model_version: '2' });
  });

  test('binary tensors both ways, and nothing but the bytes of one', async () => {
    const expected = (await overHttp(classifierBody())).outputs as { data: number[] }[];
    const input = { name: 'float_input', shape: [1, 10], datatype: 'FP32' };
    const head = Buffer.from(
      JSON.stringify({
        inputs: [{ ...input, parameters: { binary_data_size: 40 } }],
        outputs: [{ name: 'output_probability' }],
        parameters: { binary_data_output: true },
      }),
    );
    const values = Buffer.from(new Float32Array(ROW).buffer);
    const body = Buffer.concat([head, values]);
    const answer = await ask(serving.bus, modelId, body, {
      'inference-header-content-length': String(head.length),
    });
    expect(answer.json.outputs).toMatchObject([{ parameters: { binary_data_size: 8 } }]);
    const floats = new Float32Array(answer.binary.buffer.slice(answer.binary.byteOffset).slice(0, 8));
    expect(floats).toEqual(new Float32Array(expected[1]?.data ?? []));

    const raw = await ask(serving.bus, modelId, values, { 'Inference-Header-Content-Length': '0' });
    expect(raw.json).toMatchObject({ outputs: [{ shape: [1] }, { shape: [1, 2] }] });
  });

  test.each<[string, string, string, Record<string, string>]>([
    ['not JSON', '{', 'invalid_json', {}],
    ['a wrong shape', classifierBody({}, { shape: [1, 9] }), 'invalid_shape', {}],
    ['an unknown field', classifierBody({ extra: 1 }), 'unknown_field', {}],
    ['no such version', classifierBody({ model_version: '9' }), 'version_not_found', {}],
    ['a priority that is no number', classifierBody(), 'invalid_request', { 'millrace-priority': 'high' }],
    ['a deadline that is no instant', classifierBody(), 'invalid_request', { 'millrace-deadline': '5s' }],
    [
      'a deadline that passed',
      classifierBody(),
      'deadline_exceeded',
      { 'millrace-deadline': new Date(Date.now() - 1_000).toISOString() },
    ],
    [
      'a length over the body',
      classifierBody(),
      'invalid_request',
      { 'inference-header-content-length': '999999' },
    ],
  ])('%s is refused with its code', async (_case, body, code, fields) => {
    const { json, headers } = await ask(serving.bus, modelId, body, fields);
    expect(json).toEqual({ error: { code, message: expect.stringMatching(/\w+.*[.;]/) } });
    expect(headers?.get('millrace-code')).toBe(code);
  });

  test('an id that is no model, and one that is no id', async () => {
    expect((await ask(serving.bus, newId(), classifierBody())).json.error?.code).toBe('model_not_found');
    expect((await ask(serving.bus, 'iris', classifierBody())).json.error?.code).toBe('bad_id');
  });

  test('deadline and priority that are good are taken', async () => {
    const answer = await ask(serving.bus, modelId, classifierBody(), {
      'millrace-deadline': new Date(Date.now() + 10_000).toISOString(),
      'millrace-priority': '1',
    });
    expect(answer.json.error).toBeUndefined();
  });

  test('a request that no message holds is refused by the client, an answer with a clear error', async () => {
    const max = serving.bus.nc.info?.max_payload ?? 0;
    await expect(ask(serving.bus, modelId, Buffer.alloc(max + 1))).rejects.toThrow(/max.?payload/i);
    const { modelId: expander } = await serving.registry.add('expander', fixture('expander'));
    const { body } = await serving.post('/v2/models/expander/infer', JSON.stringify({ inputs: [] }));
    expect(body.code).toBe('missing_input');
    const answer = await ask(
      serving.bus,
      expander,
      JSON.stringify({ inputs: [{ name: 'n', shape: [1], datatype: 'INT64', data: [900_000] }] }),
    );
    expect(answer.json.error).toMatchObject({ code: 'payload_too_large' });
    expect(answer.json.error?.message).toMatch(/use HTTP/);
  });

  test('predictions over NATS are reported like all others', async () => {
    const before = await serving.post('/v2/models/over%20nats/infer', classifierBody());
    expect(before.status).toBe(200);
    const read = async () => {
      const response = await fetch(`${serving.origin}/v2/models/over%20nats/stats`);
      const { model_stats: stats } = (await response.json()) as {
        model_stats: { inference_count: number }[];
      };
      return stats.reduce((sum, { inference_count: count }) => sum + count, 0);
    };
    const count = await read();
    await ask(serving.bus, modelId, classifierBody());
    expect(await read()).toBe(count + 1);
  });
});

test('more than the bound at once is refused, and every request is answered', async () => {
  const small = await startServing({ MILLRACE_BUS_REQUESTS_MAX: '3' });
  try {
    const { modelId: spinner } = await small.registry.add('spinner', fixture('spinner'));
    const body = JSON.stringify({
      inputs: [{ name: 'turns', shape: [1], datatype: 'INT64', data: [200] }],
    });
    expect((await ask(small.bus, spinner, body)).json.error).toBeUndefined();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(small.bus, spinner, body)));
    const codes = answers.map(({ json }) => json.error?.code ?? 'answered');
    expect(new Set(codes)).toEqual(new Set(['answered', 'queue_full']));
    expect(codes.filter((code) => code === 'answered').length).toBeLessThan(20);
    const refused = answers.find(({ json }) => json.error !== undefined);
    expect(refused?.headers?.get('retry-after')).toBe('1');
    // what was refused has left no trace behind
    expect((await ask(small.bus, spinner, body)).json.error).toBeUndefined();
  } finally {
    await small.stop();
  }
}, 60_000);
