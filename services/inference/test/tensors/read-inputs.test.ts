import { describe, expect, test } from '@jest/globals';
import { isAppError } from '@millrace/contracts';
import { readPredictRequest } from '../../src/predictions/predict-request.ts';
import type { DType } from '../../src/tensors/dtype.ts';
import { readInputs, rowCount } from '../../src/tensors/read-inputs.ts';
import type { ModelSignature, Tensor } from '../../src/tensors/tensor.ts';
import { nestedText } from '../../src/tensors/tensor-text.ts';

const limits = { elementsMax: 1_000, take: (bytes: number) => new ArrayBuffer(bytes) };

function signatureOf(dtype: DType, shape: (number | null)[]): ModelSignature {
  return { inputs: [{ name: 'x', dtype, shape }], outputs: [] };
}

/** The tensor of input `x`, or the code of the error. */
function readOne(json: string, dtype: DType, shape: (number | null)[]): Tensor | string {
  try {
    const body = Buffer.from(`{"modelId":"m","features":{"x":${json}}}`);
    const [tensor] = readInputs(body, readPredictRequest(body).featuresAt, signatureOf(dtype, shape), limits);
    return tensor as Tensor;
  } catch (error) {
    if (isAppError(error)) return error.code;
    throw error;
  }
}

const shapeAndData = (tensor: Tensor | string) =>
  typeof tensor === 'string'
    ? tensor
    : { shape: tensor.shape, data: Array.from(tensor.data as Iterable<unknown>) };

describe('shapes', () => {
  test.each<[string, (number | null)[], number[], number[]]>([
    ['[1,2,3,4]', [null, 2], [2, 2], [1, 2, 3, 4]],
    ['[[1,2],[3,4]]', [null, 2], [2, 2], [1, 2, 3, 4]],
    ['[1,2]', [1, 2], [1, 2], [1, 2]],
    ['[[1,2],[3,4]]', [null, 2, 2], [1, 2, 2], [1, 2, 3, 4]],
    ['[1,2,3]', [null], [3], [1, 2, 3]],
    ['[[[1],[2]]]', [null, null, 1], [1, 2, 1], [1, 2]],
    ['7', [], [], [7]],
    ['7', [1, 1], [1, 1], [7]],
  ])('%s for %p is %p', (json, declared, shape, data) => {
    for (const dtype of ['float32', 'float64', 'int32'] as const) {
      expect(shapeAndData(readOne(json, dtype, declared))).toEqual({ shape, data });
    }
  });

  test.each<[string, (number | null)[]]>([
    ['[1,2,3]', [null, 2]],
    ['[]', [null, 2]],
    ['[[1,2,3]]', [null, 2]],
    ['[[1,2],[3]]', [null, 2]],
    ['[1,2,3]', [1, 2]],
    ['[1,2,3,4]', [null, null, 2]],
    ['[[[1,2]]]', [null, 2]],
    ['[[1],2]', [null, 1]],
  ])('%s for %p is refused', (json, declared) => {
    expect(readOne(json, 'float32', declared)).toBe('invalid_shape');
    expect(readOne(json, 'int32', declared)).toBe('invalid_shape');
  });
});

describe('types', () => {
  test.each<[DType, string, unknown]>([
    [
      'int64',
      '[9007199254740991,"9223372036854775807","-9223372036854775808"]',
      [9007199254740991n, 2n ** 63n - 1n, -(2n ** 63n)],
    ],
    [
      'int64',
      '[9007199254740993,-9223372036854775808,1e3,1.5e1]',
      [2n ** 53n + 1n, -(2n ** 63n), 1000n, 15n],
    ],
    ['uint64', '["18446744073709551615",0]', [2n ** 64n - 1n, 0n]],
    ['uint64', '[18446744073709551615,-0, 4294967296 ]', [2n ** 64n - 1n, 0n, 2n ** 32n]],
    ['bool', '[true,false]', [1, 0]],
    ['string', '["a","ü\\n"]', ['a', 'ü\n']],
    ['int8', '[-128,127]', [-128, 127]],
    ['uint8', '[0,255]', [0, 255]],
    ['float32', '[1e-50,0.1,-0]', [0, Math.fround(0.1), -0]],
    ['float64', '[1e-50,0.1]', [1e-50, 0.1]],
  ])('%s takes %s', (dtype, json, data) => {
    expect(shapeAndData(readOne(json, dtype, [null]))).toMatchObject({ data });
  });

  test.each<[DType, string, string]>([
    ['int64', '[9223372036854775808]', 'invalid_type'],
    ['int64', '[9007199254740991.4]', 'invalid_type'],
    ['int64', '[01]', 'invalid_json'],
    ['uint64', '[-1]', 'invalid_type'],
    ['int64', '["9223372036854775808"]', 'invalid_type'],
    ['int64', '["1.5"]', 'invalid_type'],
    ['uint64', '["-1"]', 'invalid_type'],
    ['int32', '[1.5]', 'invalid_type'],
    ['uint8', '[256]', 'invalid_type'],
    ['bool', '[1]', 'invalid_type'],
    ['string', '[1]', 'invalid_type'],
    ['float16', '[1]', 'invalid_type'],
    ['float32', '["1"]', 'invalid_type'],
    ['float32', '[null]', 'invalid_type'],
    ['float32', '{}', 'invalid_type'],
    ['float32', '[1e39]', 'not_finite'],
    ['float64', '[1e999]', 'not_finite'],
    ['float32', '[1,NaN]', 'not_finite'],
    ['float32', '[-Infinity]', 'not_finite'],
    ['int32', '[1,2', 'invalid_json'],
    ['float32', '[1 2]', 'invalid_json'],
  ])('%s refuses %s', (dtype, json, code) => {
    expect(readOne(json, dtype, [null])).toBe(code);
  });

  test('the error names the index', () => {
    const body = Buffer.from('{"modelId":"m","features":{"x":[1, 2, NaN]}}');
    expect(() => readInputs(body, body.indexOf('{"x"'), signatureOf('float32', [null]), limits)).toThrow(
      /index 2/,
    );
  });
});

test('inputs that share a row dimension have the same number of rows, within the bound', () => {
  const spec = (name: string, rowSymbol: string) => ({
    name,
    dtype: 'float32' as const,
    shape: [null, 1],
    rowSymbol,
  });
  const tensor = (rows: number): Tensor => ({
    name: 'x',
    dtype: 'float32',
    shape: [rows, 1],
    data: new Float32Array(rows),
  });
  const shared = { inputs: [spec('a', 'N'), spec('b', 'N')], outputs: [] };
  expect(rowCount(shared, [tensor(3), tensor(3)], 10)).toBe(3);
  expect(() => rowCount(shared, [tensor(3), tensor(2)], 10)).toThrow(/2 rows and another has 3/);
  expect(() => rowCount(shared, [tensor(11), tensor(11)], 10)).toThrow(/at most 10/);
  expect(
    rowCount({ inputs: [spec('a', 'N'), spec('b', 'T')], outputs: [] }, [tensor(3), tensor(2)], 10),
  ).toBe(3);
});

test('the order of the fields and their spelling do not matter', () => {
  const body = Buffer.from(
    ' {"features" : {"\\u0078": [[1, 2]]} , "userId":"u\\"}", "modelId":"m","version":"v1"} ',
  );
  const request = readPredictRequest(body);
  expect(request).toMatchObject({ modelId: 'm', version: 'v1', userId: 'u"}' });
  const [tensor] = readInputs(body, request.featuresAt, signatureOf('float32', [null, 2]), limits);
  expect(tensor?.shape).toEqual([1, 2]);
});

test.each([
  ['', 'invalid_json'],
  ['[]', 'invalid_json'],
  ['{"modelId":"m","features":{}', 'invalid_json'],
  ['{"modelId":"m","features":{}} x', 'invalid_json'],
  ['{"modelId":"m","modelId":"n","features":{}}', 'invalid_json'],
  ['{"modelId":"m","features":{"x":[1],"x":[2]}}', 'invalid_json'],
  [`{${Array.from({ length: 12 }, (_, i) => `"a${i}":1`).join()},"a9":1}`, 'invalid_json'],
  ['{"modelId" "m"}', 'invalid_json'],
  ['{"modelId":"m" "features":{}}', 'invalid_json'],
  ['{modelId:"m"}', 'invalid_json'],
  ['{"modelId":"m","features":{"x":"open}}', 'invalid_json'],
  [`{"modelId":"m","features":{"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}}`, 'invalid_json'],
  ['{"modelId":"m","features":[1]}', 'invalid_request'],
  ['{"modelId":"m"}', 'invalid_request'],
  ['{"features":{}}', 'invalid_request'],
  ['{"modelId":1,"features":{}}', 'invalid_request'],
  ['{"modelId":"a/b","features":{}}', 'invalid_name'],
  ['{"modelId":"m","features":{},"userId":""}', 'invalid_request'],
  ['{"modelId":"m","features":{},"__proto__":{}}', 'unknown_field'],
  ['{"modelId":"m","features":{"y":[1]}}', 'extra_input'],
  ['{"modelId":"m","features":{}}', 'missing_input'],
])('refuses the body %.60s', (text, code) => {
  const read = () => {
    const body = Buffer.from(text);
    return readInputs(body, readPredictRequest(body).featuresAt, signatureOf('float32', [null]), limits);
  };
  expect(read).toThrow(expect.objectContaining({ code }));
});

const nestedValues = (tensor: Tensor): unknown => JSON.parse(nestedText(tensor));

test('outputs keep int64 exact and lose the row dimension of one row', () => {
  const whole: Tensor = {
    name: 'n',
    dtype: 'int64',
    shape: [3],
    data: new BigInt64Array([1n, 2n ** 53n, 2n ** 53n + 1n]),
  };
  expect(nestedValues(whole)).toEqual([1, 9007199254740992, '9007199254740993']);
  const float = (shape: number[], values: number[]): Tensor => ({
    name: 'y',
    dtype: 'float32',
    shape,
    data: new Float32Array(values),
  });
  expect(nestedValues(float([1, 2], [0.8, 0.2]))).toEqual([0.8, 0.2]);
  expect(nestedValues(float([1, 1], [0.87]))).toEqual([0.87]);
  expect(nestedValues(float([2, 2], [1, 2, 3, Number.NaN]))).toEqual([
    [1, 2],
    [3, null],
  ]);
  expect(nestedValues(float([], [5]))).toEqual([5]);
  expect(nestedValues({ name: 'b', dtype: 'bool', shape: [2], data: new Uint8Array([1, 0]) })).toEqual([
    true,
    false,
  ]);
  expect(
    nestedValues({
      name: 'h',
      dtype: 'float16',
      shape: [4],
      data: new Uint16Array([0x3c00, 0xc000, 0x0001, 0x7c00]),
    }),
  ).toEqual([1, -2, 2 ** -24, null]);
});
