import { expect, test } from '@jest/globals';
import type { JobView } from '@millrace/contracts';
import { UsageError } from '../src/command.ts';
import { conversionRequest, quantizeOptions } from '../src/conversions/conversion-request.ts';

const file = (path: string) => ({ path, sha256: 'ab'.repeat(32), sizeBytes: 1 });
const training = (paths: string[], change: Partial<JobView> = {}): JobView =>
  ({
    id: 'a-training',
    kind: 'train',
    state: 'succeeded',
    spec: { dataset: { files: ['train.arrow', 'validation.arrow', 'schema.json'].map(file) } },
    result: { files: paths.map(file), meta: {} },
    ...change,
  }) as JobView;
const weights = ['model.safetensors', 'architecture.json', 'samples.npz', 'report.html'];

test('weights of a training go with their architecture and samples, and nothing else', () => {
  expect(conversionRequest({ options: {} }, training(weights))).toEqual({
    source: { trainingJobId: 'a-training', format: 'weights', files: weights.slice(0, 3).map(file) },
  });
  const saved = ['saved_model/saved_model.pb', 'samples.npz', 'model.keras'];
  expect(conversionRequest({ options: { opset: '15' } }, training(saved))).toEqual({
    opset: 15,
    source: { trainingJobId: 'a-training', files: saved.slice(0, 2).map(file) },
  });
});

test('a quantised model takes its samples from rows that the training did not learn from', () => {
  const options = { quantize: 'int8_static', target: 'isotope', 'agreement-min': '0.9', 'no-fuse': true };
  expect(conversionRequest({ options }, training(weights))).toMatchObject({
    graph: { fuse: false },
    quantization: {
      mode: 'int8_static',
      agreementMin: 0.9,
      calibration: { files: [file('validation.arrow')], target: 'isotope' },
    },
  });
  const shards = training(weights, { spec: { dataset: { files: [file('shard-0.npz')] } } });
  expect(conversionRequest({ options: { quantize: 'float16' } }, shards).quantization).toEqual({
    mode: 'float16',
  });
});

test('a conversion is repeated from what it read', () => {
  const source = { format: 'weights', files: weights.slice(0, 2).map(file) };
  const calibration = { files: [file('rows.npz')] };
  const job = training([], { kind: 'convert', spec: { source, quantization: { calibration } } });
  expect(conversionRequest({ options: { quantize: 'int8_static', 'input-name': 'x' } }, job)).toEqual({
    source,
    graph: { inputName: 'x' },
    quantization: { mode: 'int8_static', calibration },
  });
});

test.each([
  [{ quantize: 'int4' }, training(weights), /takes int8_dynamic, int8_static, float16/],
  [{ target: 'isotope' }, training(weights), /are for --quantize/],
  [{ quantize: 'float16', 'agreement-min': '2' }, training(weights), /a share from 0 to 1/],
  [{ opset: 'x' }, training(weights), /--opset takes a whole number/],
  [{}, training(weights, { result: null, state: 'running' }), /The training is running/],
  [{}, training(weights, { kind: 'ingest' }), /has no model/],
])('%j says what to write instead', (options, job, text) => {
  expect(() => conversionRequest({ options }, job)).toThrow(UsageError);
  expect(() => conversionRequest({ options }, job)).toThrow(text);
});

test('a training asks for a smaller model with what its pipeline takes of it', () => {
  expect(quantizeOptions({ options: {} })).toBeUndefined();
  expect(quantizeOptions({ options: { quantize: 'int8_static', target: 'isotope' } })).toEqual({
    mode: 'int8_static',
    target: 'isotope',
  });
  expect(quantizeOptions({ options: { quantize: 'float16', 'agreement-min': '0.95' } })).toEqual({
    mode: 'float16',
    agreementMin: 0.95,
  });
});
