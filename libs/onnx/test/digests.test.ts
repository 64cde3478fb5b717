import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import type { TensorProto } from '../src/generated/onnx_pb.ts';
import { ModelProtoSchema } from '../src/generated/onnx_pb.ts';
import { inspectOnnx, normaliseForServing, onnxGraphDigest, onnxWeightsDigest } from '../src/index.ts';
import { fixture, notes, thrown } from './fixture.ts';

const { weights: expected, sparse } = notes<{ weightsDigest: string; initialisersBytes: number }>('good');

function withWeight(change: (tensor: TensorProto) => void): Uint8Array {
  const model = fromBinary(ModelProtoSchema, fixture('weights_raw'));
  const tensor = model.graph?.initializer.find(({ name }) => name === 'z_float32');
  if (tensor === undefined) throw new Error('no such tensor');
  change(tensor);
  for (const node of model.graph?.node ?? []) node.input = ['x', tensor.name];
  return toBinary(ModelProtoSchema, model);
}

test('raw and typed storage of every element type give the digest that NumPy gives', () => {
  expect(onnxWeightsDigest(fixture('weights_raw'))).toBe(expected?.weightsDigest);
  expect(onnxWeightsDigest(fixture('weights_typed'))).toBe(expected?.weightsDigest);
  expect(onnxGraphDigest(fixture('weights_raw'))).not.toBe(onnxGraphDigest(fixture('weights_typed')));
  expect(inspectOnnx(fixture('weights_raw')).initialisersBytes).toBe(expected?.initialisersBytes);
  expect(inspectOnnx(fixture('weights_typed')).initialisersBytes).toBe(expected?.initialisersBytes);
});

test('a sparse initialiser counts by its values and its indices', () => {
  expect(onnxWeightsDigest(fixture('sparse'))).toBe(sparse?.weightsDigest);
  expect(inspectOnnx(fixture('sparse')).initialisersBytes).toBe(sparse?.initialisersBytes);
  expect(inspectOnnx(fixture('sparse')).inputs.map(({ name }) => name)).toEqual(['x']);
});

test('a changed name, shape, type or bit changes the digest', () => {
  const digests = [
    withWeight(() => undefined),
    withWeight((tensor) => Object.assign(tensor, { name: 'zz' })),
    withWeight((tensor) => Object.assign(tensor, { dims: [4n] })),
    withWeight((tensor) => Object.assign(tensor, { dataType: 6 })),
    withWeight((tensor) => tensor.rawData.set([(tensor.rawData[0] ?? 0) ^ 1])),
  ].map((bytes) => onnxWeightsDigest(bytes));
  expect(digests[0]).toBe(expected?.weightsDigest);
  expect(new Set(digests).size).toBe(5);
});

test('normalising a model leaves its weights digest', () => {
  const bytes = fixture('random_forest');
  expect(onnxWeightsDigest(normaliseForServing(bytes).bytes)).toBe(onnxWeightsDigest(bytes));
});

test('a file that is no model has no weights digest', () => {
  expect(thrown(() => onnxWeightsDigest(Buffer.from('no'))).code).toBe('not_onnx');
});
