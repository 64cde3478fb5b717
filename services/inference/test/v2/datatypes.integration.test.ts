import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { gunzipSync, inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Serving } from '../support/serving.ts';
import { fixture, startServing } from '../support/serving.ts';

let serving: Serving;

beforeAll(async () => {
  serving = await startServing();
  await serving.registry.add('echo', fixture('echo'));
  await serving.registry.add('halves', fixture('echo_float16'));
  await serving.registry.add('texts', fixture('echo_string'));
  await serving.registry.add('classes', fixture('classifier'));
});

afterAll(() => serving.stop());

/** Two values of each type: as JSON has them, and as bytes. */
const TYPES: [name: string, datatype: string, json: string, bytes: Uint8Array][] = [
  ['bool', 'BOOL', '[true,false]', new Uint8Array([1, 0])],
  ['int8', 'INT8', '[-128,127]', bytesOf(new Int8Array([-128, 127]))],
  ['int16', 'INT16', '[-32768,32767]', bytesOf(new Int16Array([-32_768, 32_767]))],
  ['int32', 'INT32', '[-2147483648,2147483647]', bytesOf(new Int32Array([-(2 ** 31), 2 ** 31 - 1]))],
  [
    'int64',
    'INT64',
    '[-9223372036854775808,9007199254740993]',
    bytesOf(new BigInt64Array([-(2n ** 63n), 2n ** 53n + 1n])),
  ],
  ['uint8', 'UINT8', '[0,255]', new Uint8Array([0, 255])],
  ['uint16', 'UINT16', '[0,65535]', bytesOf(new Uint16Array([0, 65_535]))],
  ['uint32', 'UINT32', '[0,4294967295]', bytesOf(new Uint32Array([0, 2 ** 32 - 1]))],
  ['uint64', 'UINT64', '[0,18446744073709551615]', bytesOf(new BigUint64Array([0n, 2n ** 64n - 1n]))],
  ['float16', 'FP16', '', bytesOf(new Uint16Array([0x3c00, 0xc000]))],
  ['float32', 'FP32', '[0.1,-1.5e-9]', bytesOf(new Float32Array([0.1, -1.5e-9]))],
  ['float64', 'FP64', '[0.1,1e+300]', bytesOf(new Float64Array([0.1, 1e300]))],
  ['string', 'BYTES', '["","grün\\n"]', texts(['', 'grün\n'])],
];

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function texts(values: string[]): Uint8Array {
  const parts = values.flatMap((value) => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts);
}

type Parts = { status: number; headers: Headers; json: string; binary: Buffer };

async function infer(
  model: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Parts> {
  const response = await fetch(`${serving.origin}/v2/models/${model}/infer`, {
    method: 'POST',
    body: body as string,
    headers,
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const length = Number(response.headers.get('inference-header-content-length') ?? bytes.length);
  return {
    status: response.status,
    headers: response.headers,
    json: bytes.toString('utf8', 0, length),
    binary: bytes.subarray(length),
  };
}

const input = (name: string, datatype: string, rest: string) =>
  `{"name":"in_${name}","datatype":"${datatype}","shape":[1,2],${rest}}`;
const asBinary = (bytes: Uint8Array) => `"parameters":{"binary_data_size":${bytes.length}}`;

function framed(head: string, parts: Uint8Array[]): [Buffer, Record<string, string>] {
  const bytes = Buffer.from(head);
  return [Buffer.concat([bytes, ...parts]), { 'inference-header-content-length': String(bytes.length) }];
}

describe('all types of protocol and runtime', () => {
  test('come back from binary to the bit, in the order of the outputs', async () => {
    const inputs = TYPES.map(([name, datatype, , bytes]) => input(name, datatype, asBinary(bytes)));
    const outputs = TYPES.map(([name]) => `{"name":"out_${name}"}`).reverse();
    const [body, headers] = framed(
      `{"inputs":[${inputs}],"outputs":[${outputs}],"parameters":{"binary_data_output":true}}`,
      TYPES.map(([, , , bytes]) => bytes),
    );
    const answer = await infer('echo', body, headers);
    expect(answer.json).toContain('"outputs":[{"name":"out_string","datatype":"BYTES","shape":[1,2]');
    const expected = TYPES.map(([, , , bytes]) => bytes).reverse();
    expect(answer.binary.equals(Buffer.concat(expected))).toBe(true);
  });

  test('come back from JSON to the last digit; half precision only in binary, mixed with it', async () => {
    const half = TYPES.find(([name]) => name === 'float16')?.[3] as Uint8Array;
    const inputs = TYPES.map(([name, datatype, json, bytes]) =>
      input(name, datatype, json === '' ? asBinary(bytes) : `"data":${json}`),
    );
    const outputs = TYPES.map(([name, , json]) =>
      json === '' ? `{"name":"out_${name}","parameters":{"binary_data":true}}` : `{"name":"out_${name}"}`,
    );
    const answer = await infer('echo', ...framed(`{"inputs":[${inputs}],"outputs":[${outputs}]}`, [half]));
    for (const [name, datatype, json] of TYPES) {
      const tail = json === '' ? asBinary(half) : `"data":${json}`;
      expect(answer.json).toContain(`{"name":"out_${name}","datatype":"${datatype}","shape":[1,2],${tail}}`);
    }
    expect(answer.binary.equals(Buffer.from(half))).toBe(true);
    const nested = await infer(
      'echo',
      ...framed(
        `{"inputs":[${inputs.map((one) => one.replace(/"data":(\[.*\])\}$/, '"data":[$1]}'))}],"outputs":[${outputs}]}`,
        [half],
      ),
    );
    expect(nested.json).toBe(answer.json);
  });

  test('binary data of one output overrides the request, and its absence does not', async () => {
    const inputs = TYPES.map(([name, datatype, , bytes]) => input(name, datatype, asBinary(bytes)));
    const outputs =
      '[{"name":"out_int8","parameters":{"binary_data":false}},{"name":"out_bool"},{"name":"out_int16","parameters":{}}]';
    const head = `{"inputs":[${inputs}],"outputs":${outputs},"parameters":{"binary_data_output":true}}`;
    const answer = await infer(
      'echo',
      ...framed(
        head,
        TYPES.map(([, , , bytes]) => bytes),
      ),
    );
    expect(JSON.parse(answer.json).outputs).toMatchObject([
      { name: 'out_int8', data: [-128, 127] },
      { name: 'out_bool', parameters: { binary_data_size: 2 } },
      { name: 'out_int16', parameters: { binary_data_size: 4 } },
    ]);
  });

  test('half precision has no JSON form: that is said before the model runs', async () => {
    const asJson = await infer(
      'halves',
      '{"inputs":[{"name":"x","datatype":"FP16","shape":[1],"data":[1]}]}',
    );
    expect(asJson).toMatchObject({ status: 400, json: expect.stringContaining('no JSON form') });
    const [body, headers] = framed(
      '{"inputs":[{"name":"x","datatype":"FP16","shape":[1],"parameters":{"binary_data_size":2}}]}',
      [new Uint8Array([0, 0x3c])],
    );
    expect(await infer('halves', body, headers)).toMatchObject({
      status: 400,
      json: expect.stringContaining('binary_data: true'),
    });
    const brain =
      '{"inputs":[{"name":"x","datatype":"BF16","shape":[1],"parameters":{"binary_data_size":2}}]}';
    expect(await infer('halves', ...framed(brain, [new Uint8Array(2)]))).toMatchObject({
      status: 400,
      json: expect.stringContaining('takes FP16, not BF16'),
    });
    const raw = await infer('halves', new Uint8Array([0, 0x3c, 0, 0xc0]), {
      'inference-header-content-length': '0',
    });
    expect([...raw.binary]).toEqual([0, 0x3c, 0, 0xc0]);
  });

  test('NaN and Infinity come out of binary as they are and of JSON as null', async () => {
    const huge =
      '{"inputs":[{"name":"float_input","datatype":"FP32","shape":[1,10],"data":[3e38,3e38,3e38,3e38,3e38,3e38,3e38,3e38,3e38,3e38]}]';
    const answer = await infer('classes', `${huge}}`);
    expect(answer.json).toContain('null');
    const binary = await infer(
      'classes',
      `${huge},"outputs":[{"name":"output_probability"}],"parameters":{"binary_data_output":true}}`,
    );
    expect(new Float32Array(new Uint8Array(binary.binary).buffer)).toContainEqual(Number.NaN);
  });

  test('a text that would not reach the model whole is refused', async () => {
    const text = (data: string) =>
      infer('texts', `{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["${data}"]}]}`);
    expect((await text('a\\u0000b')).json).toContain('NUL');
    expect((await text('\\ud800')).json).toContain('Unicode');
    const raw = { 'inference-header-content-length': '0' };
    expect((await infer('texts', texts(['a\0b']), raw)).json).toContain('NUL');
    expect((await infer('texts', new Uint8Array([1, 0, 0, 0, 0xff]), raw)).json).toContain('UTF-8');
    const latin = Buffer.from(
      '{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["\xfc"]}]}',
      'latin1',
    );
    expect(await infer('texts', latin)).toMatchObject({
      status: 400,
      json: expect.stringContaining('UTF-8'),
    });
  });

  test('a raw request of texts', async () => {
    const raw = await infer('texts', texts(['one text']), { 'inference-header-content-length': '0' });
    expect(raw).toMatchObject({ status: 200 });
    expect(raw.binary.equals(Buffer.from(texts(['one text'])))).toBe(true);
  });
});

describe('classes', () => {
  const ask = (classes: unknown, more = '', name = 'output_probability') =>
    infer(
      'classes',
      JSON.stringify({
        inputs: [
          {
            name: 'float_input',
            datatype: 'FP32',
            shape: [2, 10],
            data: Array.from({ length: 20 }, (_, i) => i / 20),
          },
        ],
        outputs: [{ name, parameters: { classification: classes, ...(more !== '' && JSON.parse(more)) } }],
      }),
    );

  test('are the largest values with their indices, for each row', async () => {
    const plain = JSON.parse((await ask(0)).json).outputs[0].data as number[];
    const { outputs } = JSON.parse((await ask(5)).json);
    expect(outputs).toMatchObject([{ name: 'output_probability', datatype: 'BYTES', shape: [2, 2] }]);
    const rows = [plain.slice(0, 2), plain.slice(2)].flatMap((row) =>
      row.map((value, index) => ({ value, index })).sort((a, b) => b.value - a.value),
    );
    expect(outputs[0].data).toEqual(rows.map(({ value, index }) => `${value}:${index}`));
    expect(JSON.parse((await ask(1)).json).outputs[0].shape).toEqual([2, 1]);
    expect((await ask(1, '{"binary_data":true}')).binary.length).toBeGreaterThan(8);
  });

  test('have the names that the package gives them', async () => {
    await serving.registry.add('named', fixture('classifier'), {
      files: { 'labels.txt': Buffer.from('counterfeit\nauthentic\n') },
    });
    const body = {
      inputs: [
        { name: 'float_input', datatype: 'FP32', shape: [1, 10], data: new Array<number>(10).fill(0.5) },
      ],
      outputs: [{ name: 'output_probability', parameters: { classification: 2 } }],
    };
    const { outputs } = JSON.parse((await infer('named', JSON.stringify(body))).json);
    const names = (outputs[0].data as string[]).map((text) => text.split(':').slice(1).join(':'));
    expect(names.sort()).toEqual(['0:counterfeit', '1:authentic']);
  });

  test.each([[-1], [1.5], ['1'], [true]])('%s classes are refused', async (classes) => {
    expect((await ask(classes)).status).toBe(400);
  });
});

describe('compressed answers', () => {
  const long = 'a text that is long enough '.repeat(1_000);
  const body = (more = '') =>
    `{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["${long}"]}]${more}}`;
  const binary = ',"parameters":{"binary_data_output":true}';

  /** The bytes of the wire: fetch would unpack them. */
  async function ask(encoding: string | undefined, text: string) {
    const headers = encoding === undefined ? {} : { 'accept-encoding': encoding };
    return new Promise<{ coding: string | undefined; bytes: Buffer }>((resolve, reject) => {
      const url = `${serving.origin}/v2/models/texts/infer`;
      request(url, { method: 'POST', headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () =>
          resolve({ coding: response.headers['content-encoding'], bytes: Buffer.concat(parts) }),
        );
      })
        .on('error', reject)
        .end(text);
    });
  }

  test.each<[string | undefined, string, string | undefined]>([
    [undefined, '', undefined],
    ['gzip', '', 'gzip'],
    ['br, gzip;q=0.5', '', 'gzip'],
    ['gzip;q=0, deflate', '', 'deflate'],
    ['br', '', undefined],
    // binary tensors only for a client that names one coding and no other
    ['gzip', binary, 'gzip'],
    ['gzip, deflate, br', binary, undefined],
  ])('Accept-Encoding %s with parameters %s gives %s', async (accept, more, coding) => {
    const plain = await ask(undefined, body(more));
    const answer = await ask(accept, body(more));
    expect(answer.coding).toBe(coding);
    const unpack = { gzip: gunzipSync, deflate: inflateSync }[answer.coding ?? ''];
    expect((unpack?.(answer.bytes) ?? answer.bytes).equals(plain.bytes)).toBe(true);
  });

  test('not a small one, and not one that hardly shrinks', async () => {
    const small = await ask('gzip', body().replace(long, 'short'));
    expect(small.coding).toBeUndefined();
    const noise = randomBytes(20_000).toString('base64');
    expect((await ask('gzip', body().replace(long, noise))).coding).toBe('gzip');
    const bytes = await ask('gzip', body(binary).replace(long, noise));
    expect(bytes.coding).toBe('gzip');
  });
});
