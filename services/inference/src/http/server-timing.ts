import type { StepTime } from '../engine/runner.ts';

const DECIMALS = 1_000;

const shown = (ms: number): number => Math.round(ms * DECIMALS) / DECIMALS;

/** The `Server-Timing` header of a prediction: wait for the model, its run and steps, writing the answer (ms). */
export function serverTiming(
  answer: { queueMs: number; computeMs: number; steps?: readonly StepTime[] | undefined },
  serialiseMs: number,
): string {
  const { queueMs, computeMs, steps } = answer;
  const whole = `queue;dur=${shown(queueMs)}, compute;dur=${shown(computeMs)}, serialise;dur=${shown(serialiseMs)}`;
  return steps === undefined
    ? whole
    : steps.reduce((text, { id, ms }) => `${text}, step.${id};dur=${shown(ms)}`, whole);
}
