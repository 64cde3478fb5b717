import { setImmediate } from 'node:timers/promises';
import type { EnsemblePlan, PlannedStep, Value } from '@millrace/ensemble';
import { atStep } from '@millrace/ensemble';
import { joinRows, sliceRows } from '../engine/join-tensors.ts';
import type { StepTime } from '../engine/runner.ts';
import type { Tensor } from '../tensors/tensor.ts';

/** A built-in step takes so many elements at a time and lets the event loop turn in between. */
const PIECE_ELEMENTS = 32_768;

/** Runs the model of a step; `outputs` are those wanted, all when absent. */
export type AskModel = (
  step: PlannedStep,
  inputs: readonly Tensor[],
  outputs: readonly string[] | undefined,
) => Promise<readonly Tensor[]>;

/** Runs a built-in step, large inputs piece by piece. */
async function runBuiltIn(
  { isByRow }: PlannedStep,
  run: (inputs: readonly Value[]) => Value[],
  inputs: readonly Tensor[],
): Promise<readonly Value[]> {
  const elements = Math.max(...inputs.map(({ data }) => data.length));
  const rows = inputs[0]?.shape[0] ?? 1;
  const isAlike = inputs.every(({ shape }) => shape[0] === rows);
  if (elements <= PIECE_ELEMENTS || !isByRow || !isAlike) return run(inputs);
  const size = Math.max(1, Math.floor((rows * PIECE_ELEMENTS) / elements));
  const pieces: Value[][] = [];
  for (let from = 0; from < rows; from += size) {
    pieces.push(run(inputs.map((tensor) => sliceRows(tensor, from, Math.min(rows, from + size)))));
    await setImmediate();
  }
  const parts = (i: number): Tensor[] => pieces.map((piece) => ({ name: '', ...(piece[i] as Value) }));
  return (pieces[0] as Value[]).map((_, i) => joinRows(parts(i)));
}

/** Steps that the wanted outputs come from. */
function stepsFor(plan: EnsemblePlan, outputs: readonly string[]): ReadonlySet<PlannedStep> {
  const tensors = new Set(outputs);
  const needed = new Set<PlannedStep>();
  for (const step of plan.steps.toReversed()) {
    if (!step.outputs.some(({ tensor }) => tensors.has(tensor))) continue;
    needed.add(step);
    for (const { tensor } of step.inputs) tensors.add(tensor);
  }
  return needed;
}

/** The same values in memory of their own where they lie in that of an input, which is used again afterwards. */
function withoutInputMemory(output: Tensor, inputs: readonly Tensor[]): Tensor {
  if (output.dtype === 'string') return output;
  const { buffer } = output.data;
  const isShared = inputs.some((input) => input.dtype !== 'string' && input.data.buffer === buffer);
  return isShared ? { ...output, data: output.data.slice() } : output;
}

/**
 * Runs an ensemble once: each step as soon as what it reads is there, so those that do not wait for each other run
 * together. Resolves when nothing runs any more. Throws the first error, with the step named.
 */
export async function runPlan(
  plan: EnsemblePlan,
  inputs: readonly Tensor[],
  outputs: readonly string[] | undefined,
  ask: AskModel,
): Promise<{ outputs: Tensor[]; steps: StepTime[] }> {
  const values = new Map<string, Tensor>(inputs.map((tensor) => [tensor.name, tensor]));
  const needed = outputs === undefined ? undefined : stepsFor(plan, outputs);
  const steps: StepTime[] = [];
  const ends: Promise<void>[] = [];
  let failure: { readonly error: unknown } | undefined;

  async function run(step: PlannedStep): Promise<void> {
    if (needed?.has(step) === false) return;
    await Promise.all(step.after.map((place) => ends[place]));
    if (failure !== undefined) return;
    const startedAt = performance.now();
    try {
      const given = step.inputs.map(({ own, tensor }) => ({ ...(values.get(tensor) as Tensor), name: own }));
      const wanted = step.isWhole ? undefined : step.outputs.map(({ own }) => own);
      const made =
        step.run === undefined ? await ask(step, given, wanted) : await runBuiltIn(step, step.run, given);
      for (const [i, { tensor }] of step.outputs.entries())
        values.set(tensor, { ...(made[i] as Tensor), name: tensor });
    } catch (error) {
      failure ??= { error: atStep(step.id, error) };
    }
    steps.push({ id: step.id, ms: performance.now() - startedAt });
  }

  for (const step of plan.steps) ends.push(run(step));
  await Promise.all(ends);
  if (failure !== undefined) throw failure.error;
  const names = outputs ?? plan.outputs.map(({ name }) => name);
  return {
    outputs: names.map((name) => withoutInputMemory(values.get(name) as Tensor, inputs)),
    steps,
  };
}
