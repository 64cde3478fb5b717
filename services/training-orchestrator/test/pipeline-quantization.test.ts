import { expect, test } from '@jest/globals';
import { withSamples } from '../src/pipelines/pipeline-quantization.ts';
import { packageFiles } from '../src/pipelines/trained-files.ts';

const file = (path: string) => ({ path, sha256: 'cd'.repeat(32), sizeBytes: 1 });

test('samples are rows of the dataset version that the training did not learn from', () => {
  const files = ['train.arrow', 'test.arrow', 'validation.arrow', 'schema.json'].map(file);
  expect(withSamples({ mode: 'int8_static', target: 'isotope' }, { files })).toEqual({
    mode: 'int8_static',
    calibration: { files: [file('validation.arrow')], target: 'isotope' },
  });
  expect(withSamples({ mode: 'float16', agreementMin: 0.9 }, { files: files.slice(0, 1) })).toEqual({
    mode: 'float16',
    agreementMin: 0.9,
    calibration: { files: [file('train.arrow')] },
  });
});

test('a dataset of another layout leaves the samples to the training', () => {
  for (const dataset of [null, { files: [file('shard-0.npz')] }])
    expect(withSamples({ mode: 'int8_static', target: 'isotope' }, dataset)).toEqual({ mode: 'int8_static' });
});

test('a package has a path once: what a conversion made replaces what the training left', () => {
  const made = { ...file('labels.txt'), sha256: 'ef'.repeat(32) };
  const files = [
    file('labels.txt'),
    file('model.safetensors'),
    file('samples.npz'),
    file('model.onnx'),
    made,
  ];
  expect(packageFiles(files)).toEqual([made, file('model.safetensors'), file('model.onnx')]);
});
