import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import { isLongRun, promisedTime, settledMemory } from '@millrace/testing';
import type { Answer, Serving } from './support/serving.ts';
import { fixture, ROW, startServing } from './support/serving.ts';

/** Every refusal comes within this time, on a machine that does other work as well (ms). */
const REFUSAL_MS_MAX = promisedTime(1_000);
const MIB = 1024 * 1024;

let serving: Serving;

beforeAll(async () => {
  serving = await startServing({
    MILLRACE_HOST_MEMORY_BYTES_MAX: String(250 * MIB),
    MILLRACE_PREDICT_OUTPUT_BYTES_MAX: String(8 * MIB),
    MILLRACE_RUN_TIMEOUT_MS: '10000',
    MILLRACE_LOAD_TIMEOUT_MS: '8000',
  });
  await serving.registry.add('rows', fixture('classifier'));
  await serving.registry.add('whole', fixture('counter'));
  await serving.registry.add('texts', fixture('echo_string'));
  await serving.registry.add('archived', fixture('classifier'), { stage: 'archived' });
  expect((await serving.classify('rows')).status).toBe(200);
  expect((await infer('texts', textInput(['warm']))).status).toBe(200);
  expect((await infer('whole', wholeInputs(1))).status).toBe(200);
});

afterAll(() => serving.stop());

const infer = (model: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  serving.post(
    `/v2/models/${model}/infer`,
    typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
    headers,
  );
const input = (changes: object = {}) => ({
  inputs: [{ name: 'float_input', shape: [1, 10], datatype: 'FP32', data: ROW, ...changes }],
});
const textInput = (data: unknown[]) => ({
  inputs: [{ name: 'x', shape: [data.length], datatype: 'BYTES', data }],
});
/** As text, so that a number goes out as it is written. */
const wholeInputs = (count: number | string) =>
  `{"inputs":[{"name":"count","shape":[1],"datatype":"INT64","data":[${count}]},{"name":"step","shape":[1],"datatype":"INT64","data":[0]},{"name":"flag","shape":[1],"datatype":"BOOL","data":[true]}]}`;
const sized = (size: number) => input({ data: undefined, parameters: { binary_data_size: size } });

function binary(head: unknown, bytes: number): [Buffer, Record<string, string>] {
  const json = Buffer.from(JSON.stringify(head));
  return [
    Buffer.concat([json, Buffer.alloc(bytes)]),
    { 'inference-header-content-length': String(json.length) },
  ];
}

/** Asks within the time of a refusal. */
async function timed(ask: () => Promise<Answer>): Promise<Answer> {
  const start = performance.now();
  const answer = await ask();
  expect(performance.now() - start).toBeLessThan(REFUSAL_MS_MAX);
  return answer;
}

type Case = [what: string, ask: () => Promise<Answer>, status: number, code: string, says?: RegExp];
const deep = `${'['.repeat(10_000)}1${']'.repeat(10_000)}`;

const cases: Case[] = [
  ['a missing input', () => infer('whole', { inputs: [] }), 400, 'missing_input', /count/],
  [
    'an extra input',
    () => infer('rows', { inputs: [...input().inputs, ...textInput(['a']).inputs] }),
    400,
    'extra_input',
    /"x"/,
  ],
  [
    'another datatype',
    () => infer('rows', input({ datatype: 'FP64' })),
    400,
    'invalid_type',
    /FP32, not FP64/,
  ],
  [
    'texts for numbers',
    () => infer('rows', input({ data: ROW.map(String) })),
    400,
    'invalid_type',
    /value 0/,
  ],
  ['another rank', () => infer('rows', input({ shape: [10] })), 400, 'invalid_shape'],
  ['another size', () => infer('rows', input({ shape: [1, 11] })), 400, 'invalid_shape'],
  ['fewer values than the shape', () => infer('rows', input({ shape: [2, 10] })), 400, 'invalid_shape'],
  ['more values than the shape', () => infer('rows', input({ data: [...ROW, 1] })), 400, 'invalid_shape'],
  ['a shape over 2^53', () => infer('rows', input({ shape: [2 ** 40, 2 ** 40] })), 400, 'invalid_shape'],
  ['a shape of 2^53', () => infer('rows', input({ shape: [2 ** 53, 10] })), 400, 'invalid_shape'],
  ['a negative size', () => infer('rows', input({ shape: [-1, 10] })), 400, 'invalid_shape'],
  ['no rows', () => infer('rows', input({ shape: [0, 10], data: [] })), 400, 'invalid_shape'],
  ['a size of text', () => infer('rows', input({ shape: ['1', 10] })), 400, 'invalid_shape'],
  [
    'a large shape and few bytes',
    () =>
      infer(
        'rows',
        ...binary(input({ shape: [1e12, 10], data: undefined, parameters: { binary_data_size: 40 } }), 40),
      ),
    400,
    'invalid_shape',
  ],
  ['NaN', () => infer('rows', JSON.stringify(input()).replace('0.1', 'NaN')), 400, 'not_finite', /index 0/],
  [
    'a number too large',
    () => infer('rows', JSON.stringify(input()).replace('0.2', '1e39')),
    400,
    'not_finite',
    /index 1/,
  ],
  ['an infinite binary value', () => infer('rows', ...binaryInfinity()), 400, 'not_finite', /index 3/],
  ['a whole number over 2^63', () => infer('whole', wholeInputs('9223372036854775808')), 400, 'invalid_type'],
  [
    'a fraction of a whole number',
    () => infer('whole', wholeInputs('9007199254740991.4')),
    400,
    'invalid_type',
  ],
  [
    'too many rows',
    () => infer('rows', input({ shape: [101, 10], data: new Array(1010).fill(1) })),
    413,
    'batch_too_large',
  ],
  [
    'a text that is not UTF-8',
    () =>
      infer('texts', Buffer.from([5, 0, 0, 0, 0xc3, 0x28, 0xa0, 0xff, 0xfe]), {
        'inference-header-content-length': '0',
      }),
    400,
    'invalid_type',
  ],
  [
    'half of a surrogate pair',
    () => infer('texts', '{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["\\ud800"]}]}'),
    400,
    'invalid_type',
  ],
  [
    'a text whose length lies',
    () =>
      infer('texts', Buffer.from([0xff, 0xff, 0xff, 0xff, 65]), { 'inference-header-content-length': '0' }),
    400,
    'invalid_shape',
  ],
  ['fewer bytes than announced', () => infer('rows', ...binary(sized(40), 39)), 400, 'invalid_shape'],
  ['more bytes than announced', () => infer('rows', ...binary(sized(40), 41)), 400, 'invalid_shape'],
  [
    'a size that is not that of the shape',
    () => infer('rows', ...binary(sized(36), 36)),
    400,
    'invalid_shape',
  ],
  ['a size over 2^53', () => infer('rows', ...binary(sized(2 ** 53), 40)), 400, 'invalid_request'],
  ['a negative size of bytes', () => infer('rows', ...binary(sized(-1), 40)), 400, 'invalid_request'],
  [
    'a header longer than the body',
    () => infer('rows', JSON.stringify(input()), { 'inference-header-content-length': '99999' }),
    400,
    'invalid_request',
  ],
  [
    'a header that is no number',
    () => infer('rows', JSON.stringify(input()), { 'inference-header-content-length': '0x10' }),
    400,
    'invalid_request',
  ],
  ['an unknown model', () => infer('nobody', input()), 404, 'model_not_found'],
  ['an unknown version', () => infer('rows/versions/9', input()), 404, 'version_not_found'],
  ['a name with a path', () => infer('..%2F..%2Fetc', input()), 400, 'invalid_name'],
  ['a name with a control character', () => infer('a%00b', input()), 400, 'invalid_name'],
  ['an archived version', () => infer('archived', input()), 403, 'stage_not_servable'],
  ['depth', () => infer('rows', `{"inputs":${deep}}`), 400, 'invalid_request'],
  [
    'depth in the values',
    () =>
      infer('rows', `{"inputs":[{"name":"float_input","shape":[1,10],"datatype":"FP32","data":${deep}}]}`),
    400,
    'invalid_json',
  ],
  ['a key twice', () => infer('rows', '{"inputs":[],"inputs":[]}'), 400, 'invalid_json'],
  [
    'a prototype',
    () => infer('rows', `{"__proto__":{"a":1},${JSON.stringify(input()).slice(1)}`),
    400,
    'unknown_field',
  ],
  ['a byte order mark', () => infer('rows', `\ufeff${JSON.stringify(input())}`), 400, 'invalid_json'],
  ['half a body', () => infer('rows', JSON.stringify(input()).slice(0, 60)), 400, 'invalid_json'],
  ['nothing', () => infer('rows', ''), 400, 'invalid_json'],
  ['a body over the bound', () => infer('rows', Buffer.alloc(4_000_001, ' ')), 413, 'payload_too_large'],
  [
    'a body that inflates over the bound',
    () => infer('rows', gzipSync(Buffer.alloc(40 * MIB, ' ')), { 'content-encoding': 'gzip' }),
    413,
    'payload_too_large',
  ],
  [
    'an endless number',
    () => infer('rows', JSON.stringify(input()).replace('0.1', '1'.repeat(1_000_000))),
    400,
    'not_finite',
  ],
];

function binaryInfinity(): [Buffer, Record<string, string>] {
  const [body, headers] = binary(sized(40), 40);
  body.writeFloatLE(Number.POSITIVE_INFINITY, body.length - 28);
  return [body, headers];
}

describe('payloads', () => {
  test.each(cases)('%s', async (_what, ask, status, code, says = /./) => {
    const answer = await timed(ask);
    expect(answer).toMatchObject({ status, body: { code, error: expect.stringMatching(says) } });
  });

  test('leave the service as it was, and its memory', async () => {
    const round = async () => {
      for (const [, ask] of cases) await ask();
    };
    await round();
    const before = await settledMemory();
    for (let i = 0; i < 10; i += 1) await round();
    expect((await settledMemory()) - before).toBeLessThan(16 * MIB);
    expect((await serving.classify('rows')).status).toBe(200);
  });
});

describe('bodies in chunks', () => {
  /** Sends a body in chunks as they are on the wire; gives the status and body of the answer. */
  async function sendChunks(chunks: string): Promise<string> {
    const { hostname, port } = new URL(serving.origin);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname);
      let answer = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        answer += text;
      });
      socket.on('end', () => resolve(answer)).on('error', reject);
      const head = `POST /v2/models/rows/infer HTTP/1.1\r\nhost: ${hostname}:${port}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n`;
      socket.write(`${head}${chunks}0\r\n\r\n`);
    });
  }
  const one = (text: string) => `1\r\n${text}\r\n`;

  test('of a byte each are read', async () => {
    const body = [...JSON.stringify(input())].map(one).join('');
    expect(await sendChunks(one(' ').repeat(300_000) + body)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('over the bound are refused', async () => {
    const chunk = `100000\r\n${' '.repeat(MIB)}\r\n`;
    expect(await sendChunks(chunk.repeat(3))).toMatch(/^HTTP\/1\.1 400 /);
    expect(await sendChunks(chunk.repeat(4))).toMatch(/^HTTP\/1\.1 413 /);
  });
});

describe('models that ask for more than there is', () => {
  const one = (name: string, value: number | string) =>
    `{"inputs":[{"name":"${name}","shape":[1],"datatype":"INT64","data":[${value}]}]}`;

  test('an output that is far larger than the input', async () => {
    await serving.registry.add('expander', fixture('expander'));
    expect((await infer('expander', one('n', 10))).status).toBe(200);
    const answer = await infer('expander', one('n', 10_000_000));
    expect(answer).toMatchObject({ status: 500, body: { code: 'output_too_large' } });
    expect((await infer('expander', one('n', 10))).status).toBe(200);
  });

  test('memory on the way', async () => {
    await serving.registry.add('hoarder', fixture('hoarder'));
    expect((await infer('hoarder', one('n', 10))).status).toBe(200);
    const answer = await infer('hoarder', one('n', 2_000_000_000));
    expect(answer).toMatchObject({ status: 422, body: { code: 'exceeds_memory' } });
    expect((await infer('hoarder', one('n', 10))).status).toBe(200);
    const absurd = await infer('hoarder', one('n', '1000000000000000000'));
    expect(absurd).toMatchObject({ status: 500, body: { code: 'inference_failed' } });
  });

  test('time without end', async () => {
    await serving.registry.add('endless', fixture('spinner'));
    const answer = await infer('endless', one('turns', '9223372036854775807'));
    expect(answer).toMatchObject({ status: 504, body: { code: 'deadline_exceeded' } });
    expect((await infer('endless', one('turns', 1))).status).toBe(200);
  });
});

describe('graphs that registration refuses', () => {
  const folder = new URL('../../../libs/onnx/test/fixtures/generated/', import.meta.url);
  const named = JSON.parse(readFileSync(new URL('bad.json', folder), 'utf8')) as Record<string, object>;
  const all = readdirSync(folder).filter((file) => file.replace('.onnx', '') in named);
  /** Each takes a process; these are of every kind, and `MILLRACE_TEST_LONG=1` takes all. */
  const kinds =
    /^(external_(parent|sparse|subgraph)|dims_overflow|sparse_bomb|cycle|if_nested_9|function_(chain|recursion)|domain_unknown|input_bfloat16|raw_short)\.onnx$/;
  const graphs = isLongRun ? all : all.filter((file) => kinds.test(file));

  // signed packages of them: what would happen if they came through all the same
  test('harm nobody when they reach the runtime', async () => {
    expect(all.length).toBeGreaterThan(40);
    expect(graphs.length).toBeGreaterThanOrEqual(12);
    for (const file of graphs) {
      const model = `bad-${newId()}`;
      await serving.registry.add(model, readFileSync(new URL(file, folder)));
      const { status, body } = await infer(model, input());
      // some are valid for the runtime and only refused for what they might do
      if (status < 400) continue;
      expect([file, status, body.code]).toEqual([
        file,
        expect.any(Number),
        expect.stringMatching(
          /^(model_load_failed|model_crashed|unsupported_(in|out)put|missing_input|extra_input|invalid_(type|shape)|inference_failed|exceeds_memory|deadline_exceeded)$/,
        ),
      ]);
    }
    for (const bytes of ['', '<html></html>', '\u0000\u0001\u0002', fixture('classifier').subarray(0, 200)]) {
      const model = `bad-${newId()}`;
      await serving.registry.add(model, Buffer.from(bytes));
      expect(await infer(model, input())).toMatchObject({ status: 422, body: { code: 'model_load_failed' } });
    }
    expect((await serving.classify('rows')).status).toBe(200);
  }, 120_000);
});
