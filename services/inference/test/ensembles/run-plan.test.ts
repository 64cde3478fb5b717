import { expect, test } from '@jest/globals';
import { planEnsemble } from '@millrace/ensemble';
import type { AskModel } from '../../src/ensembles/run-plan.ts';
import { runPlan } from '../../src/ensembles/run-plan.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';

const noModel: AskModel = () => Promise.reject(new Error('There is no model here.'));
const input = { name: 'x', dtype: 'float32' as const, shape: [null, 16] };
const softmax = (parameters: object = {}) => ({
  id: 'soft',
  kind: 'softmax',
  parameters: { ...parameters },
  inputs: { x: 'x' },
  outputs: { y: 'y' },
});
const plan = (steps: ReturnType<typeof softmax>[], outputs: string[]) =>
  planEnsemble({ inputs: [input], outputs, steps }, () => ({ inputs: [], outputs: [] }));

function rowsOf(count: number): Tensor {
  const data = Float32Array.from({ length: count * 16 }, (_, i) => Math.sin(i) * 9);
  return { name: 'x', dtype: 'float32', shape: [count, 16], data };
}

test('a large request is computed in pieces, with turns of the event loop, to the same bits', async () => {
  const x = rowsOf(10_000);
  let turns = 0;
  const turn = setInterval(() => {
    turns += 1;
  }, 0);
  const running = runPlan(plan([softmax()], ['y']), [x], undefined, noModel);
  const { outputs } = await running.finally(() => clearInterval(turn));
  expect(turns).toBeGreaterThanOrEqual(1);
  const whole = plan([softmax()], ['y']).steps[0]?.run?.([x]);
  expect(outputs[0]?.shape).toEqual([10_000, 16]);
  const bytesOf = (data: unknown): Buffer => Buffer.from((data as Float32Array).buffer);
  expect(bytesOf(outputs[0]?.data).equals(bytesOf(whole?.[0]?.data))).toBe(true);
});

test('a step along the rows sees all of them, however many there are', async () => {
  const x = rowsOf(10_000);
  const { outputs } = await runPlan(plan([softmax({ axis: 0 })], ['y']), [x], undefined, noModel);
  const data = outputs[0]?.data as Float32Array;
  let sum = 0;
  for (let row = 0; row < 10_000; row += 1) sum += data[row * 16] as number;
  expect(sum).toBeCloseTo(1, 4);
});

test('steps that do not wait for each other run together', async () => {
  const side = (id: string) => ({
    id,
    kind: 'model',
    inputs: { x: 'x' },
    outputs: { y: id },
  });
  const signature = {
    inputs: [input],
    outputs: [{ name: 'y', dtype: 'float32' as const, shape: [null, 16] }],
  };
  const steps = [side('a'), side('b')];
  const both = planEnsemble({ inputs: [input], outputs: ['a', 'b'], steps }, () => signature);
  const { promise: met, resolve: meet } = Promise.withResolvers<void>();
  let running = 0;
  const ask: AskModel = async (_, [x]) => {
    running += 1;
    if (running === 2) meet();
    // neither ends before the other has begun
    await met;
    return [x as Tensor];
  };
  const { outputs } = await runPlan(both, [rowsOf(2)], undefined, ask);
  expect(outputs.map(({ name }) => name)).toEqual(['a', 'b']);
});

test('after a failure nothing else begins, and what runs is waited for', async () => {
  const signature = {
    inputs: [input],
    outputs: [{ name: 'y', dtype: 'float32' as const, shape: [null, 16] }],
  };
  const step = (id: string, from: string) => ({ id, kind: 'model', inputs: { x: from }, outputs: { y: id } });
  const steps = [step('bad', 'x'), step('slow', 'x'), step('late', 'slow')];
  const three = planEnsemble({ inputs: [input], outputs: ['bad', 'late'], steps }, () => signature);
  const begun: string[] = [];
  let isSlowDone = false;
  const ask: AskModel = async ({ id }, [x]) => {
    begun.push(id);
    if (id === 'bad') throw new Error('broken');
    await new Promise((resolve) => setTimeout(resolve, 30));
    isSlowDone = true;
    return [x as Tensor];
  };
  await expect(runPlan(three, [rowsOf(1)], undefined, ask)).rejects.toThrow('broken');
  expect(begun).toEqual(['bad', 'slow']);
  expect(isSlowDone).toBe(true);
});
