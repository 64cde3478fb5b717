import { setTimeout } from 'node:timers/promises';
import type { ResolvedVersion } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { EnsemblePlan } from '@millrace/ensemble';
import { atStep } from '@millrace/ensemble';
import type { Runner, RunRequest } from '../engine/runner.ts';
import type { ServedModel } from '../engine/served-model.ts';
import { rowCount } from '../tensors/read-inputs.ts';
import type { AskModel } from './run-plan.ts';
import { runPlan } from './run-plan.ts';

/** A version that a step runs; it serves its own name with the same copy in memory. */
export type Member = { readonly version: ResolvedVersion; readonly served: ServedModel };
/** Members by the place of their step in the description. */
export type Members = ReadonlyMap<number, Member>;

/** Runs of an ensemble with models in hosts: a second one is in the first model while the first is in the next. */
const RUNS_AT_ONCE = 4;
/** How often a measurement looks whether a member is free (ms), and how long (ms). */
const FREE_LOOK_MS = 1;
const FREE_WAIT_MS = 10_000;

/** What the callers of a joined run allow, as one: the latest deadline, and gone only when all of them are. */
function together(requests: readonly RunRequest[]): { until: number; priority?: number; isGone(): boolean } {
  const priority = requests[0]?.priority;
  return {
    until: Math.max(...requests.map(({ queuedAt, deadlineMs }) => queuedAt + deadlineMs)),
    ...(priority !== undefined && { priority }),
    isGone: () => requests.every(({ isGone }) => isGone?.() === true),
  };
}

/** Asks the queues of the members, as any request does: their bounds, batches and statistics hold. */
function askQueues(members: Members, requests: readonly RunRequest[]): AskModel {
  const { until, ...callers } = together(requests);
  return async ({ index }, inputs, outputs) => {
    const { served } = members.get(index) as Member;
    const deadlineMs = until - performance.now();
    if (deadlineMs <= 0) throw new AppError('deadline_exceeded', 'The deadline passed before this step.');
    if (callers.isGone()) throw new AppError('request_cancelled', 'The caller went away before this step.');
    const rows = rowCount(served.signature, inputs, Infinity);
    const asked = { inputs, rows, deadlineMs, ...callers, ...(outputs !== undefined && { outputs }) };
    return (await served.queue.submit(asked)).outputs;
  };
}

/** Asks the members past their queues, so that a measurement is in nobody's statistics. */
export function askRunners(members: Members): AskModel {
  return async ({ index }, inputs, outputs) => {
    const { runner } = (members.get(index) as Member).served;
    const end = performance.now() + FREE_WAIT_MS;
    while (runner.capacity() === 0) {
      const fault = runner.fault();
      if (fault !== undefined) throw fault;
      if (performance.now() > end) throw new AppError('deadline_exceeded', 'The model did not become free.');
      await setTimeout(FREE_LOOK_MS);
    }
    return (await runner.run(inputs, outputs)).outputs;
  };
}

/** Runs an ensemble by its members. Memory and processes are theirs. */
export function createEnsembleRunner(plan: EnsemblePlan, members: Members): Runner {
  const runners = [...members.values()].map(({ served }) => served.runner);
  const isHosted = runners.some(({ placement }) => placement === 'host');
  const runsMax = isHosted ? RUNS_AT_ONCE : 1;
  let busy = 0;
  let isClosed = false;
  return {
    placement: isHosted ? 'host' : 'inline',
    state() {
      const states = isClosed ? ['closed' as const] : runners.map((runner) => runner.state());
      return (
        states.find((state) => state === 'quarantined') ??
        states.find((state) => state !== 'ready') ??
        'ready'
      );
    },
    capacity: () => (isClosed ? 0 : runsMax - busy),
    fault() {
      for (const { id, index } of plan.steps) {
        const fault = members.get(index)?.served.runner.fault();
        const named = fault === undefined ? undefined : atStep(id, fault);
        if (isAppError(named)) return named;
      }
      return undefined;
    },
    async run(inputs, outputs, requests) {
      busy += 1;
      const ask = requests === undefined ? askRunners(members) : askQueues(members, requests);
      const startedAt = performance.now();
      try {
        const made = await runPlan(plan, inputs, outputs, ask);
        return { ...made, computeMs: performance.now() - startedAt, startedAt };
      } finally {
        busy -= 1;
      }
    },
    onChange: () => undefined,
    residentBytes: () => 0,
    pids: () => [...new Set(runners.flatMap((runner) => runner.pids()))],
    async close() {
      isClosed = true;
    },
  };
}
