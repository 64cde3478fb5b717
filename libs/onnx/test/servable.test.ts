import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import type { ModelProto } from '../src/generated/onnx_pb.ts';
import { ModelProtoSchema, TensorProtoSchema } from '../src/generated/onnx_pb.ts';
import type { OnnxSource } from '../src/index.ts';
import {
  defaultOnnxLimits,
  inspectOnnx,
  normaliseForServing,
  onnxWeightsDigest,
  readServable,
} from '../src/index.ts';
import { fixture, notes, thrown } from './fixture.ts';

const MIB = 1024 * 1024;
const GOOD = [
  'functions_and_if',
  'logistic_regression',
  'random_forest',
  'weights_raw',
  'weights_typed',
  'sparse',
];

/** A source that gives copies, as a file does, and notes the longest read. */
function fileOf(bytes: Uint8Array): OnnxSource & { longest: () => number } {
  let longest = 0;
  return {
    sizeBytes: bytes.byteLength,
    read(start, end, into = new Uint8Array(end - start)) {
      longest = Math.max(longest, end - start);
      into.set(bytes.subarray(start, end));
      return into;
    },
    longest: () => longest,
  };
}

/** A good model with initialisers of its own before those that it has. */
function withWeights(name: string, sizesBytes: readonly number[]): Buffer {
  const model: ModelProto = fromBinary(ModelProtoSchema, fixture(name));
  sizesBytes.forEach((sizeBytes, i) => {
    const tensor = { name: `w${i}`, dataType: 1, dims: [BigInt(sizeBytes / 4)] };
    const rawData = Buffer.alloc(sizeBytes, i + 1);
    model.graph?.initializer.unshift(create(TensorProtoSchema, { ...tensor, rawData }));
  });
  return Buffer.from(toBinary(ModelProtoSchema, model));
}

describe('a file that is read in pieces', () => {
  test.each(GOOD)('%s is found to be the same as in memory', (name) => {
    const bytes = fixture(name);
    const whole = normaliseForServing(bytes);
    const { info, weightsDigest, changes, rewritten } = readServable(fileOf(bytes));
    expect({ info, weightsDigest, changes }).toEqual({
      info: whole.info,
      weightsDigest: onnxWeightsDigest(bytes),
      changes: whole.changes,
    });
    expect(rewritten !== undefined).toBe(whole.bytes !== bytes);
  });

  test.each(Object.entries(notes<{ code: string }>('bad')))(
    '%s is refused all the same',
    (name, { code }) => {
      const bytes = fixture(name);
      const inMemory = thrown(() => inspectOnnx(bytes)).code;
      expect(inMemory).toBe(code);
      expect(thrown(() => readServable(fileOf(bytes))).code).toBe(code);
    },
  );

  test('weights are never in memory as a whole, however large they are', () => {
    const bytes = withWeights('opset_newest', [40 * MIB, 8, 24 * MIB]);
    const source = fileOf(bytes);
    const { info, weightsDigest } = readServable(source);
    expect(info.initialisersBytes).toBeGreaterThanOrEqual(64 * MIB);
    expect(weightsDigest).toBe(onnxWeightsDigest(bytes));
    expect(source.longest()).toBeLessThanOrEqual(MIB);
  });

  test('a graph that is rewritten keeps its weights where they are, and their bytes', () => {
    const bytes = withWeights('zip_map_shared', [2 * MIB, 4, 300]);
    const source = fileOf(bytes);
    const { rewritten = [] } = readServable(source);
    const held = rewritten.reduce((sum, part) => sum + (part instanceof Uint8Array ? part.length : 0), 0);
    expect(held).toBeLessThan(64 * 1024);
    const served = Buffer.concat(
      rewritten.map((part) => (part instanceof Uint8Array ? part : bytes.subarray(part.start, part.end))),
    );
    expect(onnxWeightsDigest(served)).toBe(onnxWeightsDigest(bytes));
    // protobuf itself writes the same
    expect(Buffer.compare(served, toBinary(ModelProtoSchema, fromBinary(ModelProtoSchema, served)))).toBe(0);
    expect(inspectOnnx(served).outputs.map(({ dtype }) => dtype)).not.toContain('sequence');
  });
});

test('what is not raw data has a bound, for it is read into memory', () => {
  const bytes = withWeights('opset_newest', [MIB]);
  const rest = bytes.length - MIB;
  const limited = (outlineBytesMax: number) => () =>
    readServable(fileOf(bytes), { ...defaultOnnxLimits, outlineBytesMax });
  expect(thrown(limited(rest - 1))).toMatchObject({ code: 'model_too_complex' });
  expect(limited(rest)).not.toThrow();
});
