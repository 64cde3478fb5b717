import { describe, expect, test } from '@jest/globals';
import { isAppError } from '@millrace/contracts';
import fc from 'fast-check';
import { assertShards, defaultTfjsLimits, readTfjsModel } from '../src/index.ts';

const dense = { class_name: 'Dense', config: { name: 'd', units: 2, batch_input_shape: [null, 3] } };
const layersModel = {
  format: 'layers-model',
  modelTopology: { class_name: 'Sequential', config: { name: 's', layers: [dense] } },
  weightsManifest: [
    {
      paths: ['a.bin', 'b.bin'],
      weights: [
        { name: 'd/kernel', shape: [3, 2], dtype: 'float32' },
        {
          name: 'd/bias',
          shape: [2],
          dtype: 'float32',
          quantization: { dtype: 'uint8', scale: 0.1, min: -1 },
        },
      ],
    },
  ],
};
const x = {
  name: 'x',
  op: 'Placeholder',
  attr: { dtype: { type: 'DT_INT64' }, shape: { shape: { dim: [{ size: '-1' }] } } },
};
const graphModel = {
  modelTopology: { node: [x, { name: 'y', op: 'Neg', input: ['x'] }] },
  weightsManifest: [],
};

const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isAppError(error)) return error.code;
    throw error;
  }
  return 'none';
}

const codeOfModel = (value: unknown): string => codeOf(() => readTfjsModel(bytes(value)));

test('a layers model says what it takes, gives and needs', () => {
  const model = readTfjsModel(bytes(layersModel));
  expect(model).toMatchObject({
    format: 'layers-model',
    inputs: [{ name: 'd_input', dtype: 'float32', shape: [null, 3] }],
    outputs: [{ name: 'd', dtype: undefined, shape: undefined }],
    weights: [{ files: ['a.bin', 'b.bin'], sizeBytes: 26, isExact: true }],
  });
});

test('a graph without format and signature is read by its placeholders and leaves', () => {
  expect(readTfjsModel(bytes(graphModel))).toMatchObject({
    format: 'graph-model',
    inputs: [{ name: 'x', dtype: 'int32', shape: [null] }],
    outputs: [{ name: 'y' }],
  });
});

test('two outputs of one layer get names that differ', () => {
  const input = {
    class_name: 'InputLayer',
    name: 'i',
    config: { name: 'i', batch_input_shape: [null, 3], dtype: 'float32' },
  };
  const layers = [input, { ...dense, name: 'd', inbound_nodes: [] }];
  const config = {
    name: 'm',
    layers,
    input_layers: [['i', 0, 0]],
    output_layers: [
      ['d', 0, 0],
      ['d', 1, 0],
    ],
  };
  const modelTopology = { class_name: 'Functional', config };
  const model = readTfjsModel(bytes({ ...layersModel, modelTopology }));
  expect(model.outputs.map(({ name }) => name)).toEqual(['d', 'd_2']);
});

describe('weight files', () => {
  const groups = readTfjsModel(bytes(layersModel)).weights;
  const sizes = (entries: Record<string, number>) => new Map(Object.entries(entries));

  test('that fit are taken, wherever a weight is cut', () => {
    expect(codeOf(() => assertShards(groups, sizes({ 'a.bin': 5, 'b.bin': 21 })))).toBe('none');
  });

  test.each([
    ['a missing one', { 'a.bin': 26 }],
    ['one too many', { 'a.bin': 5, 'b.bin': 21, 'c.bin': 0 }],
    ['a short one', { 'a.bin': 5, 'b.bin': 20 }],
    ['a long one', { 'a.bin': 5, 'b.bin': 22 }],
  ])('%s is refused', (_, entries) => {
    expect(codeOf(() => assertShards(groups, sizes(entries as Record<string, number>)))).toBe(
      'weights_mismatch',
    );
  });

  test.each([
    'https://example.com/a.bin',
    '../a.bin',
    '/etc/passwd',
    'folder/a.bin',
    'C:a.bin',
    'a\\b.bin',
    '..',
    '%2e%2e',
    'a\u0000.bin',
    '',
    7,
  ])('a manifest that names %j is refused', (path) => {
    const weightsManifest = [{ paths: [path], weights: [] }];
    expect(codeOfModel({ ...layersModel, weightsManifest })).toBe('external_data_path');
  });
});

describe('models that are refused', () => {
  const withLayer = (layer: object) => ({
    ...layersModel,
    modelTopology: { class_name: 'Sequential', config: { layers: [dense, layer] } },
  });
  const withNode = (node: object) => ({
    ...graphModel,
    modelTopology: { node: [...graphModel.modelTopology.node, node] },
  });
  const weight = (one: object) => ({ ...layersModel, weightsManifest: [{ paths: [], weights: [one] }] });

  test.each([
    ['a Lambda layer', withLayer({ class_name: 'Lambda', config: { name: 'l' } }), 'unsupported_layer'],
    [
      'a custom layer within another',
      withLayer({ class_name: 'TimeDistributed', config: { name: 't', layer: { class_name: 'Mine' } } }),
      'unsupported_layer',
    ],
    [
      'an operator that touches files',
      withNode({ name: 'r', op: 'ReadFile', input: ['x'] }),
      'unsupported_operator',
    ],
    [
      'an operator within a function',
      {
        ...graphModel,
        modelTopology: {
          ...graphModel.modelTopology,
          library: { function: [{ nodeDef: [{ name: 'p', op: 'PyFunc' }] }] },
        },
      },
      'unsupported_operator',
    ],
    [
      'an input of texts',
      {
        ...graphModel,
        modelTopology: {
          node: [
            { ...x, attr: { dtype: { type: 'DT_STRING' } } },
            { name: 'y', op: 'Neg', input: ['x'] },
          ],
        },
      },
      'unsupported_input',
    ],
    [
      'a signature that names no node',
      { ...graphModel, signature: { inputs: { a: { name: 'z:0', dtype: 'DT_FLOAT' } } } },
      'invalid_model',
    ],
    ['a weight of an unknown type', weight({ name: 'w', shape: [1], dtype: 'float8' }), 'invalid_model'],
    ['a weight of a negative size', weight({ name: 'w', shape: [-1], dtype: 'float32' }), 'invalid_model'],
    ['weights over the bound', weight({ name: 'w', shape: [2 ** 40], dtype: 'float32' }), 'model_too_large'],
    ['no manifest', { ...layersModel, weightsManifest: undefined }, 'invalid_model'],
    ['an unknown format', { ...layersModel, format: 'tflite' }, 'invalid_model'],
    ['nothing of a model', {}, 'invalid_model'],
    [
      'too deep a nesting',
      { ...layersModel, userDefinedMetadata: JSON.parse(`${'['.repeat(100)}${']'.repeat(100)}`) },
      'model_too_complex',
    ],
  ])('%s', (_, value, code) => {
    expect(codeOfModel(value)).toBe(code);
  });

  test('too large a file, and one that is not JSON', () => {
    const limits = { ...defaultTfjsLimits, jsonBytesMax: 10 };
    expect(codeOf(() => readTfjsModel(bytes(layersModel), limits))).toBe('model_too_large');
    expect(codeOf(() => readTfjsModel(Buffer.from('{"a":')))).toBe('invalid_model');
    expect(codeOf(() => readTfjsModel(Buffer.from([0xff, 0xfe])))).toBe('invalid_model');
  });
});

test('whatever JSON comes, it is a model or an error of the catalogue', () => {
  const parts = fc.constantFrom<unknown>(
    layersModel.modelTopology,
    graphModel.modelTopology,
    'x',
    null,
    [],
    {},
    3,
  );
  const model = fc.record(
    {
      format: fc.constantFrom<unknown>('layers-model', 'graph-model', undefined, 1),
      modelTopology: fc.oneof(parts, fc.jsonValue()),
      weightsManifest: fc.oneof(fc.constant(layersModel.weightsManifest), fc.jsonValue()),
      signature: fc.oneof(fc.jsonValue(), fc.record({ inputs: fc.jsonValue(), outputs: fc.jsonValue() })),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(model, (value) => typeof codeOfModel(value) === 'string'),
    { numRuns: 500 },
  );
});
