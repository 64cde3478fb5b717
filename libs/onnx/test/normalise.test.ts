import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import * as ort from 'onnxruntime-node';
import { ModelProtoSchema } from '../src/generated/onnx_pb.ts';
import { inspectOnnx, normaliseForServing } from '../src/index.ts';
import { fixture, notes, thrown } from './fixture.ts';

type Expected = {
  input: number[];
  rows: number;
  classes: (string | number)[];
  labels: (string | number)[];
  probabilities: number[];
};

const expected = notes<Expected>('good') as Record<
  'logistic_regression' | 'logistic_strings' | 'random_forest',
  Expected
>;
/** Largest difference between the float32 of the runtime and the float64 of scikit-learn. */
const TOLERANCE = 1e-5;

async function run(bytes: Uint8Array, input: number[], rows: number) {
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  try {
    const tensor = new ort.Tensor('float32', Float32Array.from(input), [rows, input.length / rows]);
    return {
      names: session.outputNames,
      values: await session.run({ [session.inputNames[0] ?? '']: tensor }),
    };
  } finally {
    await session.release();
  }
}

describe.each(['logistic_regression', 'logistic_strings', 'random_forest'] as const)(
  '%s of scikit-learn',
  (name) => {
    const { input, rows, classes, labels, probabilities } = expected[name];

    test('answers on the runtime as scikit-learn does, by the same output names in the same order', async () => {
      const { bytes } = normaliseForServing(fixture(name));
      const { names, values } = await run(bytes, input, rows);
      expect(names).toEqual(['output_label', 'output_probability']);
      const actualLabels = [...((values.output_label?.data ?? []) as Iterable<string | bigint>)];
      expect(actualLabels.map(String)).toEqual(labels.map(String));
      expect(values.output_probability?.dims).toEqual([rows, classes.length]);
      const actual = [...((values.output_probability?.data ?? []) as Float32Array)];
      expect(actual).toHaveLength(probabilities.length);
      const worst = Math.max(...actual.map((value, i) => Math.abs(value - (probabilities[i] ?? Number.NaN))));
      expect(worst).toBeLessThan(TOLERANCE);
    });

    test('is described as tensors and says what was changed', () => {
      const { bytes, info, changes } = normaliseForServing(fixture(name));
      expect(changes).toEqual([{ kind: 'zip_map_removed', output: 'output_probability', classes }]);
      expect(info).toEqual(inspectOnnx(bytes));
      expect(info.outputs).toEqual([
        {
          name: 'output_label',
          dtype: name === 'logistic_strings' ? 'string' : 'int64',
          shape: [null],
          axisNames: [null],
        },
        {
          name: 'output_probability',
          dtype: 'float32',
          shape: [null, classes.length],
          axisNames: [null, null],
        },
      ]);
    });

    test('gives the same bytes each time, and nothing to change the second time', () => {
      const first = normaliseForServing(fixture(name));
      expect(Buffer.compare(first.bytes, normaliseForServing(fixture(name)).bytes)).toBe(0);
      const again = normaliseForServing(first.bytes);
      expect(again.bytes).toBe(first.bytes);
      expect(again.changes).toEqual([]);
    });
  },
);

test('without the change the runtime cannot return the probabilities', async () => {
  const { input, rows } = expected.logistic_regression;
  await expect(run(fixture('logistic_regression'), input, rows)).rejects.toThrow();
});

test('the ZipMap is gone from the graph and the node before it gives the output', () => {
  const { graph } = fromBinary(ModelProtoSchema, normaliseForServing(fixture('logistic_regression')).bytes);
  expect(graph?.node.map((node) => node.opType)).not.toContain('ZipMap');
  expect(graph?.node.map((node) => node.opType)).not.toContain('Identity');
});

test('scores that something else reads keep their name', async () => {
  const { bytes, changes } = normaliseForServing(fixture('zip_map_shared'));
  expect(changes).toEqual([{ kind: 'zip_map_removed', output: 'maps', classes: [3, 5] }]);
  const { names, values } = await run(bytes, [0, 0, 1, 1], 2);
  expect(names).toEqual(['scores', 'maps']);
  expect(values.maps?.data).toEqual(values.scores?.data);
});

test('a model that needs no change keeps its very bytes', () => {
  const bytes = fixture('functions_and_if');
  const result = normaliseForServing(bytes);
  expect(result.bytes).toBe(bytes);
  expect(result.changes).toEqual([]);
});

test('another output that is not a tensor is refused by name', () => {
  expect(thrown(() => normaliseForServing(fixture('output_sequence')))).toMatchObject({
    code: 'unsupported_output',
    message: expect.stringContaining('"y" is a sequence'),
  });
});

test('fields that this library does not know survive the change', () => {
  // Field 26 of ModelProto (device configurations) is not in proto/onnx.proto.
  const unknown = Buffer.from([0xd2, 0x01, 0x05, 0x0a, 0x03, 0x67, 0x70, 0x75]);
  const { bytes } = normaliseForServing(Buffer.concat([fixture('logistic_regression'), unknown]));
  expect(Buffer.from(bytes).includes(unknown)).toBe(true);
});
