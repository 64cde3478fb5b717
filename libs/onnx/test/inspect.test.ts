import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import type { ModelProto } from '../src/generated/onnx_pb.ts';
import { ModelProtoSchema } from '../src/generated/onnx_pb.ts';
import { defaultOnnxLimits, inspectOnnx } from '../src/index.ts';
import { fixture, notes, thrown } from './fixture.ts';

/** A good model with something changed, as bytes. */
function changed(change: (model: ModelProto) => void, name = 'opset_newest'): Uint8Array {
  const model = fromBinary(ModelProtoSchema, fixture(name));
  change(model);
  return toBinary(ModelProtoSchema, model);
}

test('a model with local functions, control flow and defaults is described whole', () => {
  expect(inspectOnnx(fixture('functions_and_if'))).toEqual({
    irVersion: 9,
    opsets: { 'ai.onnx': 17, local: 1 },
    // `w` has a default, so a caller need not give it.
    inputs: [
      { name: 'x', dtype: 'float32', shape: [null, 2], axisNames: ['N', null] },
      { name: 'flag', dtype: 'bool', shape: [], axisNames: [] },
    ],
    outputs: [{ name: 'y', dtype: 'float32', shape: [null, 2], axisNames: ['N', null] }],
    nodeCount: 5,
    initialisersBytes: 12,
    producer: { name: 'hand', version: '1.2' },
    metadata: { author: 'anna', note: 'ü' },
  });
});

test('axes that an exporter wrote as -1 or 0 are free, and an output without shape has an open rank', () => {
  const bytes = changed((model) => {
    const [input, output] = [model.graph?.input[0]?.type?.value, model.graph?.output[0]?.type?.value];
    if (input?.case !== 'tensorType' || output?.case !== 'tensorType') throw new Error('not tensors');
    input.value.shape?.dim.forEach((dim, i) => {
      dim.value = { case: 'dimValue', value: i === 0 ? -1n : 0n };
    });
    delete output.value.shape;
  });
  const { inputs, outputs } = inspectOnnx(bytes);
  expect(inputs[0]).toMatchObject({ shape: [null, null], axisNames: [null, null] });
  expect(outputs[0]).toMatchObject({ shape: null, axisNames: null });
});

test('a classifier whose output is a sequence of maps is refused until it is normalised', () => {
  expect(thrown(() => inspectOnnx(fixture('logistic_regression')))).toMatchObject({
    code: 'unsupported_output',
    message: expect.stringContaining('"output_probability" is a sequence'),
  });
});

describe('damaged and hostile files', () => {
  const cases = Object.entries(notes<{ code: string; says: string }>('bad'));

  test.each(cases)('%s', (name, { code, says }) => {
    const error = thrown(() => inspectOnnx(fixture(name)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(says);
  });

  test.each<[string, Uint8Array]>([
    ['an empty file', new Uint8Array(0)],
    ['a web page', Buffer.from('<!DOCTYPE html><html><body>Sign in</body></html>')],
    ['a JSON text', Buffer.from('{"modelTopology": {}}')],
    ['a pickle', Buffer.from('80049595000000000000008c', 'hex')],
    ['an HDF5 file', Buffer.from('894844460d0a1a0a0000000000080800', 'hex')],
    ['a zip archive', Buffer.from('504b0304140000000800', 'hex')],
    ['zeros', new Uint8Array(1024)],
    ['a message in groups', Buffer.from([0x3b, 0x3c])],
  ])('%s is not ONNX', (_name, bytes) => {
    expect(thrown(() => inspectOnnx(bytes)).code).toBe('not_onnx');
  });

  test('a file cut off anywhere is refused', () => {
    const bytes = fixture('functions_and_if');
    // The last field of this file is a list of opsets and metadata; cut exactly there it is another whole model.
    const accepted: number[] = [];
    for (let length = 0; length < bytes.length; length += 1) {
      try {
        inspectOnnx(bytes.subarray(0, length));
        accepted.push(length);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^(not_onnx|unsupported_operator)$/) });
      }
    }
    expect(accepted.length).toBeLessThanOrEqual(3);
  });

  test('a known field of another wire type is refused, since two parsers could read it differently', () => {
    // TensorProto.data_location (field 14) as bytes instead of a number, inside graph (7) and initializer (5).
    const hidden = Buffer.from([0x72, 0x02, 0x70, 0x00]);
    const tensor = Buffer.concat([Buffer.from([0x2a, hidden.length]), hidden]);
    const graph = Buffer.concat([Buffer.from([0x3a, tensor.length]), tensor]);
    const error = thrown(() => inspectOnnx(Buffer.concat([fixture('opset_newest'), graph])));
    expect(error).toMatchObject({ code: 'not_onnx', message: expect.stringContaining('wrong type') });
  });
});

describe('bounds', () => {
  const bounded = (limits: Partial<typeof defaultOnnxLimits>, bytes: Uint8Array = fixture('weights_typed')) =>
    thrown(() => inspectOnnx(bytes, { ...defaultOnnxLimits, ...limits }));

  test('each is named with the number found and the number allowed', () => {
    const { length } = fixture('weights_typed');
    expect(bounded({ modelBytesMax: length - 1 })).toMatchObject({
      code: 'model_too_large',
      status: 413,
      details: { found: length, max: length - 1 },
    });
    expect(bounded({ messagesMax: 20 })).toMatchObject({
      code: 'model_too_complex',
      details: { found: 21, max: 20 },
    });
    expect(bounded({ valuesMax: 50 })).toMatchObject({ code: 'model_too_complex', details: { max: 50 } });
    expect(bounded({ expandedNodesMax: 4 }, fixture('functions_and_if'))).toMatchObject({
      details: { max: 4 },
    });
  });

  test('metadata is bounded in bytes, wherever it hangs', () => {
    const bytes = changed((model) => {
      const entry = create(ModelProtoSchema, {
        metadataProps: [{ key: 'k', value: 'v'.repeat(1000) }],
      }).metadataProps;
      model.metadataProps = entry;
      const node = model.graph?.node[0];
      if (node !== undefined) node.metadataProps = entry;
    });
    expect(inspectOnnx(bytes).metadata).toEqual({ k: 'v'.repeat(1000) });
    expect(bounded({ metadataBytesMax: 1500 }, bytes)).toMatchObject({
      code: 'model_too_complex',
      message: expect.stringContaining('bytes of metadata'),
    });
  });

  test('a bomb of a million empty nodes is refused before they are built', () => {
    const nodes = Buffer.alloc(2_000_000);
    for (let i = 0; i < nodes.length; i += 2) nodes[i] = 0x0a;
    const header = [0x3a];
    for (let rest = nodes.length; rest > 0; rest = Math.floor(rest / 128))
      header.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    expect(bounded({}, Buffer.concat([Buffer.from(header), nodes])).code).toBe('model_too_complex');
  });

  test('types nested a thousand deep are refused', () => {
    let type = Buffer.alloc(0);
    for (let i = 0; i < 1000; i += 1) type = Buffer.concat([i % 2 === 0 ? field(1, type) : field(4, type)]);
    const graph = field(7, field(11, field(2, type)));
    expect(bounded({}, graph)).toMatchObject({
      code: 'model_too_complex',
      message: expect.stringContaining('levels of messages'),
    });
  });
});

/** A length-delimited protobuf field. */
function field(number: number, content: Buffer): Buffer {
  const header = [(number << 3) | 2];
  let rest = content.length;
  do {
    header.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from(header), content]);
}
