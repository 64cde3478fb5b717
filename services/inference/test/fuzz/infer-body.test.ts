import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DType } from '../../src/tensors/dtype.ts';
import { bytesPerElement, protocolName } from '../../src/tensors/dtype.ts';
import type { ModelSignature, Tensor } from '../../src/tensors/tensor.ts';
import { rawBytes } from '../../src/tensors/tensor.ts';
import { readInferBody } from '../../src/v2/infer-body.ts';
import { binaryOf, readRawTensor } from '../../src/v2/infer-tensors.ts';
import { check, orRefused, surrounded } from './runs.ts';

const ROWS_MAX = 4;
const WIDTH = 3;
const limits = { elementsMax: 10_000, take: (bytes: number) => new ArrayBuffer(bytes) };
const dtypes: DType[] = [
  'bool',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'float16',
  'float32',
  'float64',
  'string',
];
const signature: ModelSignature = {
  inputs: dtypes.map((dtype) => ({ name: `x_${dtype}`, dtype, shape: [null, WIDTH] })),
  outputs: [],
};

/** Bytes of a tensor that a client might send; floats are finite. */
function bytesFor(dtype: DType, count: number): fc.Arbitrary<Uint8Array> {
  if (dtype === 'string') {
    return fc
      .array(fc.string({ unit: 'grapheme', maxLength: 8 }), { minLength: count, maxLength: count })
      .map((data) =>
        binaryOf({ name: 'x', dtype, shape: [count], data: data.map((text) => text.replaceAll('\0', '')) }),
      );
  }
  const size = count * bytesPerElement(dtype);
  const bytes = fc.uint8Array({ minLength: size, maxLength: size });
  if (dtype === 'bool') return bytes.map((data) => data.map((byte) => byte & 1));
  const isFloat = dtype === 'float16' || dtype === 'float32' || dtype === 'float64';
  // without the two highest bits of the exponent no float is infinite
  const width = bytesPerElement(dtype);
  return isFloat
    ? bytes.map((data) => data.map((byte, i) => (i % width === width - 1 ? byte & 0xbf : byte)))
    : bytes;
}

type Given = { head: Buffer; binary: Uint8Array; tensors: Map<string, Uint8Array>; rows: number };

const request: fc.Arbitrary<Given> = fc.integer({ min: 1, max: ROWS_MAX }).chain((rows) =>
  fc
    .tuple(
      fc.tuple(...dtypes.map((dtype) => bytesFor(dtype, rows * WIDTH))),
      fc.shuffledSubarray(dtypes, { minLength: dtypes.length }),
      fc.integer({ min: 0, max: 7 }),
    )
    .map(([data, order, padding]) => {
      const tensors = new Map(dtypes.map((dtype, i) => [`x_${dtype}`, data[i] as Uint8Array]));
      const inputs = order.map((dtype) => ({
        name: `x_${dtype}`,
        datatype: protocolName(dtype),
        shape: [rows, WIDTH],
        parameters: { binary_data_size: (tensors.get(`x_${dtype}`) as Uint8Array).length },
      }));
      const head = Buffer.from(JSON.stringify({ inputs }) + ' '.repeat(padding));
      const binary = Buffer.concat(order.map((dtype) => tensors.get(`x_${dtype}`) as Uint8Array));
      return { head, binary, tensors, rows };
    }),
);

const contents = (tensor: Tensor): Buffer =>
  Buffer.from(tensor.dtype === 'string' ? binaryOf(tensor) : rawBytes(tensor.data));

function read(body: Buffer, headerLength: string): Tensor[] | undefined {
  return orRefused(() => readInferBody(body, headerLength).readTensors(signature, limits));
}

const place = fc.record({ filler: fc.nat(255), offset: fc.integer({ min: 0, max: 9 }) });

test('binary tensors in any order and at any place are read to the bit', () => {
  check(
    fc.property(request, place, ({ head, binary, tensors, rows }, { filler, offset }) => {
      const body = surrounded(Buffer.concat([head, binary]), filler, offset);
      const got = read(body, String(head.length));
      expect(got?.map(({ name }) => name)).toEqual(signature.inputs.map(({ name }) => name));
      for (const tensor of got ?? []) {
        expect(tensor.shape).toEqual([rows, WIDTH]);
        expect(contents(tensor).equals(tensors.get(tensor.name) as Uint8Array)).toBe(true);
      }
    }),
    300,
  );
});

/** A change to a body: cut off, bytes replaced, removed or put in, or another announced length. */
const change = fc.record({
  at: fc.nat(),
  remove: fc.oneof(fc.constant(0), fc.nat(12)),
  insert: fc.oneof(
    fc.uint8Array({ maxLength: 6 }),
    fc
      .constantFrom('9', '-1', '"', '[', '}', ',', '1e400', '\\u0000', 'null')
      .map((text) => Buffer.from(text)),
  ),
  isInHead: fc.boolean(),
  cut: fc.oneof(fc.constant(0), fc.nat(40)),
  length: fc.oneof(
    fc.constant(undefined),
    fc.integer({ min: -5, max: 5 }),
    fc.constantFrom('x', '', '1e3', '-1', '99999999999999999'),
  ),
});

test('a damaged body is refused or read as what it says', () => {
  check(
    fc.property(request, change, place, ({ head, binary }, damage, { filler, offset }) => {
      const whole = Buffer.concat([head, binary]);
      const at = damage.at % (damage.isInHead ? head.length : whole.length);
      const damaged = Buffer.concat([
        whole.subarray(0, at),
        damage.insert,
        whole.subarray(at + damage.remove),
      ]);
      const body = damaged.subarray(0, Math.max(0, damaged.length - damage.cut));
      const { length = 0 } = damage;
      const announced = typeof length === 'number' ? String(head.length + length) : length;
      const got = read(surrounded(body, filler, offset), announced);
      // the same answer whatever lies around it in memory
      const alone = read(surrounded(body, filler ^ 0xff, 0), announced);
      expect(got?.map(contents)).toEqual(alone?.map(contents));
      if (got === undefined) return;
      const json = JSON.parse(body.toString('utf8', 0, Number(announced))) as {
        inputs: { name: string; parameters?: { binary_data_size?: number } }[];
      };
      let from = Number(announced);
      for (const { name, parameters } of json.inputs) {
        const size = parameters?.binary_data_size;
        if (size === undefined) continue;
        const tensor = got.find((one) => one.name === name) as Tensor;
        expect(contents(tensor).equals(body.subarray(from, from + size))).toBe(true);
        from += size;
      }
      expect(from).toBe(body.length);
    }),
    2_000,
  );
});

test('a body of nothing but bytes is refused or read whole', () => {
  const dtype = fc.constantFrom(...dtypes);
  check(
    fc.property(dtype, fc.uint8Array({ maxLength: 80 }), place, (type, bytes, { filler, offset }) => {
      const one: ModelSignature = { inputs: [{ name: 'x', dtype: type, shape: [null] }], outputs: [] };
      const got = orRefused(() => readRawTensor(one, surrounded(bytes, filler, offset)));
      if (got === undefined) return;
      expect(contents(got[0] as Tensor).equals(bytes)).toBe(true);
    }),
    3_000,
  );
});

/** JSON that looks like a request here and there. */
const lookalike = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 0, -1, 1, 2, 3, 2 ** 53, 1.5, 'x_float32', 'FP32', '', 'INT64'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(
      fc.constantFrom(
        'inputs',
        'outputs',
        'id',
        'parameters',
        'name',
        'shape',
        'datatype',
        'data',
        'binary_data_size',
        'classification',
        'timeout',
        'priority',
        'x',
      ),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
}));

test('JSON that is not a request gets a 400', () => {
  const body = fc.record(
    { inputs: lookalike.value, outputs: lookalike.value, parameters: lookalike.value, id: lookalike.value },
    { requiredKeys: ['inputs'] },
  );
  check(
    fc.property(fc.oneof(body, lookalike.value), (value) => {
      const text = JSON.stringify(value);
      const got = orRefused(() => readInferBody(Buffer.from(text), undefined).asked);
      if (got === undefined) return;
      const { id, inputs } = value as { id?: string; inputs: { name: string; shape: number[] }[] };
      expect([got.id, got.inputs.map((one) => [one.name, one.shape])]).toEqual([
        id,
        inputs.map((one) => [one.name, one.shape]),
      ]);
    }),
    4_000,
  );
});

test('values in JSON, flat or nested, are those of JSON.parse', () => {
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
  );
  const one: ModelSignature = {
    inputs: [{ name: 'x', dtype: 'float64', shape: [null, WIDTH] }],
    outputs: [],
  };
  check(
    fc.property(
      fc.array(number, { minLength: 0, maxLength: 12 }),
      fc.boolean(),
      fc.nat(4),
      (values, isNested, rows) => {
        const nested = Array.from({ length: Math.ceil(values.length / WIDTH) }, (_, i) =>
          values.slice(i * WIDTH, i * WIDTH + WIDTH),
        );
        const body = {
          inputs: [{ name: 'x', datatype: 'FP64', shape: [rows, WIDTH], data: isNested ? nested : values }],
        };
        const text = JSON.stringify(body);
        const got = orRefused(() => readInferBody(Buffer.from(text), undefined).readTensors(one, limits));
        const fits = rows > 0 && values.length === rows * WIDTH;
        expect(got !== undefined).toBe(fits);
        const expected = (
          JSON.parse(text) as { inputs: [{ data: number[] | number[][] }] }
        ).inputs[0].data.flat();
        if (got !== undefined) expect(Array.from(got[0]?.data as Float64Array)).toEqual(expected);
      },
    ),
    2_000,
  );
});
