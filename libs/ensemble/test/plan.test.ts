import { describe, expect, test } from '@jest/globals';
import { isAppError } from '@millrace/contracts';
import type { EnsembleSpec, Signature } from '../src/index.ts';
import { planEnsemble } from '../src/index.ts';

const classifier: Signature = {
  inputs: [{ name: 'float_input', dtype: 'float32', shape: [null, 4] }],
  outputs: [
    { name: 'label', dtype: 'int64', shape: [null] },
    { name: 'scores', dtype: 'float32', shape: [null, 3] },
  ],
};
const scale = {
  id: 'scale',
  kind: 'standard-scaler',
  parameters: { mean: [0], scale: [1] },
  inputs: { x: 'features' },
  outputs: { y: 'scaled' },
};
const classify = {
  id: 'classify',
  kind: 'model',
  model: 'iris',
  inputs: { float_input: 'scaled' },
  outputs: { label: 'id', scores: 'scores' },
};
const name = {
  id: 'name',
  kind: 'label-map',
  parameters: { labels: { 0: 'a', 1: 'b', 2: 'c' } },
  inputs: { x: 'id' },
  outputs: { y: 'species' },
};
const input = { name: 'features', dtype: 'float32' as const, shape: [null, 4] };
const good: EnsembleSpec = {
  inputs: [input],
  outputs: ['species', 'scores'],
  steps: [name, classify, scale],
};

const plan = (spec: EnsembleSpec) => planEnsemble(spec, () => classifier);

/** The message of the refusal, and the step that it names. */
function refusal(spec: EnsembleSpec): { message: string; step: unknown } {
  try {
    plan(spec);
  } catch (error) {
    if (!isAppError(error)) throw error;
    expect(error.code).toBe('invalid_ensemble');
    return { message: error.message, step: error.details?.step };
  }
  throw new Error('The ensemble was not refused.');
}

const withSteps = (...steps: EnsembleSpec['steps']): EnsembleSpec => ({ ...good, steps });

test('steps come behind those that they read from, whatever the order of the description', () => {
  const { steps, inputs, outputs } = plan(good);
  expect(steps.map(({ id, after }) => [id, after])).toEqual([
    ['scale', []],
    ['classify', [0]],
    ['name', [1]],
  ]);
  expect(inputs).toEqual([input]);
  expect(outputs).toEqual([
    { name: 'species', dtype: 'string', shape: [null] },
    { name: 'scores', dtype: 'float32', shape: [null, 3] },
  ]);
});

test('two branches that meet again are no circle', () => {
  const half = (id: string, from: string) => ({ ...scale, id, inputs: { x: from }, outputs: { y: id } });
  const join = {
    id: 'join',
    kind: 'concat',
    inputs: { x0: 'left', x1: 'right' },
    outputs: { y: 'both' },
  };
  const { steps, outputs } = plan({
    inputs: [input],
    outputs: ['both'],
    steps: [join, half('left', 'top'), half('right', 'top'), half('top', 'features')],
  });
  expect(steps.map(({ id, after }) => [id, after])).toEqual([
    ['top', []],
    ['left', [0]],
    ['right', [0]],
    ['join', [1, 2]],
  ]);
  expect(outputs[0]?.shape).toEqual([null, 8]);
});

test('an output has its own name, also where it is an input after one step', () => {
  const { outputs } = plan({ inputs: [input], outputs: ['scaled'], steps: [scale] });
  expect(outputs).toEqual([{ name: 'scaled', dtype: 'float32', shape: [null, 4] }]);
});

describe('refused, with the step named', () => {
  const cases: [what: string, spec: EnsembleSpec, step: string | undefined, message: RegExp][] = [
    [
      'a circle',
      withSteps({ ...scale, inputs: { x: 'scores' } }, classify, name),
      'scale',
      /"scale", "classify" wait for each other in a circle/,
    ],
    [
      'an unknown tensor',
      withSteps({ ...scale, inputs: { x: 'featurs' } }, classify, name),
      'scale',
      /"featurs"/,
    ],
    [
      'an input that is not fed',
      withSteps({ ...scale, inputs: { z: 'features' } }, classify, name),
      'scale',
      /no input "z"/,
    ],
    [
      'a model input that is not fed',
      withSteps(scale, { ...classify, inputs: { other: 'scaled' } }, name),
      'classify',
      /no input "other"; it has float_input/,
    ],
    [
      'a tensor given twice',
      withSteps(scale, classify, { ...name, outputs: { y: 'scores' } }),
      'name',
      /"scores", which comes from step "classify" already/,
    ],
    [
      'a tensor named like an input',
      withSteps({ ...scale, outputs: { y: 'features' } }),
      'scale',
      /is an input already/,
    ],
    ['two steps of one id', withSteps(scale, classify, { ...name, id: 'scale' }), undefined, /"scale"/],
    [
      'an unknown kind',
      withSteps({ ...scale, kind: 'sofmax' }, classify, name),
      'scale',
      /known are model, softmax/,
    ],
    [
      'an unknown output',
      withSteps(scale, { ...classify, outputs: { lable: 'id', scores: 'scores' } }, name),
      'classify',
      /no output "lable"/,
    ],
    [
      'a type that does not fit',
      { ...good, inputs: [{ ...input, dtype: 'float64' }] },
      'classify',
      /is float32, but "scaled" is float64; put a cast/,
    ],
    [
      'a type that a step does not take',
      { ...good, inputs: [{ ...input, dtype: 'int32' }] },
      'scale',
      /takes float32, float64/,
    ],
    [
      'a shape that does not fit',
      { ...good, inputs: [{ ...input, shape: [null, 5] }] },
      'classify',
      /takes \[N, 4\].*is \[N, 5\]/,
    ],
    [
      'a free size where a fixed one is needed',
      { ...good, inputs: [{ ...input, shape: [null, null] }] },
      'scale',
      /no fixed size/,
    ],
    [
      'a parameter that is missing',
      withSteps({ ...scale, parameters: { mean: [0] } }, classify, name),
      'scale',
      /scale/,
    ],
    [
      'too few parameters',
      withSteps({ ...scale, parameters: { mean: [0, 1], scale: [1] } }, classify, name),
      'scale',
      /2 numbers for 4/,
    ],
    [
      'a division by zero',
      withSteps({ ...scale, parameters: { mean: [0], scale: [0] } }, classify, name),
      'scale',
      /zero/,
    ],
    ['a step that leads nowhere', { ...good, outputs: ['scores'] }, 'name', /leads to an output/],
    [
      'an input that nobody reads',
      { ...good, inputs: [input, { ...input, name: 'spare' }] },
      undefined,
      /"spare"/,
    ],
    ['an input twice', { ...good, inputs: [input, input] }, undefined, /"features" twice/],
    ['an output twice', { ...good, outputs: ['species', 'species', 'scores'] }, undefined, /"species" twice/],
    [
      'an output that nobody gives',
      { ...good, outputs: ['specie'] },
      undefined,
      /"specie" is a tensor that no step gives/,
    ],
    ['an output that is an input', { ...good, outputs: ['features'] }, undefined, /"features" is an input/],
    [
      'a tensor over the bound',
      withSteps(
        scale,
        classify,
        {
          id: 'huge',
          kind: 'one-hot',
          parameters: { depth: 16_000_000 },
          inputs: { x: 'hot' },
          outputs: { y: 'species' },
        },
        {
          id: 'hot',
          kind: 'cast',
          parameters: { to: 'int64' },
          inputs: { x: 'scores' },
          outputs: { y: 'hot' },
        },
      ),
      'huge',
      /48000000 elements a row/,
    ],
    [
      'k over the size of the axis',
      withSteps(scale, classify, {
        id: 'top',
        kind: 'top-k',
        parameters: { k: 4 },
        inputs: { x: 'scores' },
        outputs: { values: 'species' },
      }),
      'top',
      /k is 4/,
    ],
    [
      'a join along the rows',
      withSteps(scale, classify, {
        id: 'join',
        kind: 'concat',
        parameters: { axis: 0 },
        inputs: { x0: 'scores', x1: 'scaled' },
        outputs: { y: 'species' },
      }),
      'join',
      /axis 0/,
    ],
    [
      'another number of elements',
      withSteps(scale, classify, {
        id: 'fold',
        kind: 'reshape',
        parameters: { shape: [null, 2] },
        inputs: { x: 'scores' },
        outputs: { y: 'species' },
      }),
      'fold',
      /cannot become/,
    ],
    [
      'parameters of a model',
      withSteps(scale, { ...classify, parameters: {} }, name),
      'classify',
      /no parameters/,
    ],
  ];
  test.each(cases)('%s', (_, spec, step, message) => {
    const found = refusal(spec);
    expect(found.step).toBe(step);
    expect(found.message).toMatch(message);
  });

  test('a row of steps over the bound', () => {
    const steps = Array.from({ length: 17 }, (_, i) => ({
      ...scale,
      id: `s${i}`,
      inputs: { x: i === 0 ? 'features' : `t${i - 1}` },
      outputs: { y: `t${i}` },
    }));
    expect(refusal({ inputs: [input], outputs: ['t16'], steps })).toMatchObject({ step: 's16' });
  });
});
