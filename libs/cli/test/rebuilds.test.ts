import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { metaStatement, packageSubjects, provenanceStatement } from '@millrace/integrity';
import { onnxWeights } from '@millrace/onnx';
import type { Conditions } from '../src/rebuilds/build-record.ts';
import { readBuildRecord, reportedConditions } from '../src/rebuilds/build-record.ts';
import { judge, limitsOf } from '../src/rebuilds/verdict.ts';
import { compareWeights } from '../src/rebuilds/weights.ts';

const MODELS = new URL('../../onnx/test/fixtures/generated/', import.meta.url);
const model = readFileSync(new URL('weights_raw.onnx', MODELS));
const other = readFileSync(new URL('logistic_regression.onnx', MODELS));
const ALL = ['weights', 'graph', 'onnx'] as const;
const TOLERANCE = 1e-3;

/** The model with the first element of one tensor set to another value. */
function changed(name: string, value: (before: number) => number): Uint8Array {
  const copy = new Uint8Array(model);
  const data = onnxWeights(copy)
    .find((weight) => weight.name === name)
    ?.data();
  if (data === undefined) throw new Error(`There is no tensor ${name}.`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  view.setFloat32(0, value(view.getFloat32(0, true)), true);
  return copy;
}

const largestOf = (name: string): number => {
  const data = onnxWeights(model)
    .find((weight) => weight.name === name)
    ?.data() as Uint8Array;
  const values = new Float32Array(new Uint8Array(data).buffer);
  return Math.max(...values.map(Math.abs));
};

const verdictOf = (rebuilt: Uint8Array) =>
  judge({ equal: [], limits: [], difference: compareWeights(model, rebuilt), tolerance: TOLERANCE }).verdict;

describe('weights', () => {
  test('equal ones differ by nothing', () => {
    expect(compareWeights(model, new Uint8Array(model))).toMatchObject({ maxAbs: 0, maxRel: 0, worst: null });
  });

  test('are close up to the tolerance and different beyond it, relative to their tensor', () => {
    const largest = largestOf('z_float32');
    const near = changed('z_float32', (before) => before + largest * TOLERANCE * 0.9);
    expect(verdictOf(near)).toBe('close');
    const difference = compareWeights(model, near);
    expect(difference).toMatchObject({ worst: 'z_float32' });
    expect('maxAbs' in difference && difference.maxAbs / largest).toBeCloseTo(TOLERANCE * 0.9, 6);
    expect(verdictOf(changed('z_float32', (before) => before + largest * TOLERANCE * 1.1))).toBe('different');
  });

  test('a NaN on one side, and tensors that do not correspond, are different at any tolerance', () => {
    const broken = compareWeights(
      model,
      changed('z_float32', () => Number.NaN),
    );
    expect(broken).toMatchObject({ maxAbs: Number.POSITIVE_INFINITY });
    for (const difference of [broken, compareWeights(model, other)])
      expect(judge({ equal: [], limits: [], difference, tolerance: 1e30 }).verdict).toBe('different');
  });
});

const SHA = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);
const trainingMeta = {
  machine: { cpu: 'a processor', classDigest: SHA, threads: { intra: 2, inter: 1 } },
  environment: { sha256: SHA },
  recipe: { sha256: SHA },
};
const recorded = reportedConditions(trainingMeta, { environmentDigest: SHA });

describe('what equal bits prove', () => {
  test('under the recorded conditions: the rebuild', () => {
    const limits = limitsOf(recorded, recorded, { deterministic: true });
    expect(judge({ equal: ALL, limits, difference: undefined, tolerance: 0 })).toEqual({
      verdict: 'bit-identical',
      equal: ALL,
      limits: [],
    });
  });

  const others: [string, Partial<Conditions>, RegExp][] = [
    [
      'another processor',
      { machineClass: OTHER, cpu: 'another' },
      /processor differs: a processor then, another now/,
    ],
    ['another number of threads', { threads: '8/1' }, /threads differs: 2\/1 then, 8\/1 now/],
    ['other packages of the training', { trainingEnvironment: OTHER }, /packages of the training differs/],
    [
      'other packages of the conversion',
      { conversionEnvironment: OTHER },
      /packages of the conversion differs/,
    ],
    ['another recipe', { recipeCode: OTHER }, /code of the recipe differs/],
    ['threads that nobody tells', { threads: undefined }, /threads differs: 2\/1 then, unknown now/],
  ];
  test.each(others)('on %s: no more than close', (_what, change, message) => {
    const limits = limitsOf(recorded, { ...recorded, ...change }, {});
    expect(limits).toEqual([expect.stringMatching(message)]);
    expect(judge({ equal: ALL, limits, difference: undefined, tolerance: 0 }).verdict).toBe('close');
  });

  test('where nothing was recorded, or nothing was deterministic: no more than close', () => {
    expect(limitsOf(reportedConditions({}, {}), recorded, {})).toHaveLength(5);
    expect(limitsOf(recorded, recorded, { deterministic: false })).toEqual([
      'the training was not deterministic',
    ]);
  });
});

test('a version that was uploaded cannot be built again, and is told why', () => {
  const subjects = packageSubjects({ packageDigest: SHA, modelDigest: SHA, rootDigest: SHA });
  const provenance = provenanceStatement({
    subjects,
    buildType: 'urn:millrace:build:upload:v1',
    externalParameters: {},
    resolvedDependencies: [],
    builderId: 'urn:x',
    invocationId: 'upload',
  });
  expect(() => readBuildRecord({ provenance, meta: metaStatement(subjects, {}) })).toThrow(
    /cannot be built again: it was not trained/,
  );
});

describe('a version of a pipeline that trained weights', () => {
  const subjects = packageSubjects({ packageDigest: SHA, modelDigest: SHA, rootDigest: SHA });
  const built = (externalParameters: Record<string, unknown>, names: string[]) =>
    provenanceStatement({
      subjects: [{ name: 'model.onnx', digest: { sha256: OTHER } }],
      buildType: 'urn:millrace:build:train-and-convert:v1',
      externalParameters,
      resolvedDependencies: names.map((name) => ({
        name,
        uri: 'urn:millrace:dataset-version:01890000-0000-7000-8000-000000000000',
        digest: { sha256: SHA },
      })),
      builderId: 'urn:x',
      invocationId: 'a-job',
    });
  const recordOf = (conversion: Record<string, unknown>) =>
    readBuildRecord({
      provenance: built({ recipe: 'isotope', params: {} }, ['dataset']),
      meta: metaStatement(subjects, {}),
      conversion: built(conversion, ['weights', 'architecture']),
    });

  test('is built again to the digest of its architecture', () => {
    expect(recordOf({ opset: 17 })).toMatchObject({
      recipe: 'isotope',
      conversion: { opset: 17 },
      digests: { weights: SHA, graph: SHA, onnx: OTHER },
    });
  });

  test('cannot be built again where it was quantised, and is told why', () => {
    expect(() => recordOf({ opset: 17, quantization: 'int8_static' })).toThrow(/it was quantised/);
  });
});
