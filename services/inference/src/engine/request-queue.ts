import { AppError } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import { tensorBytes } from '../tensors/tensor.ts';
import { canJoin, joinRows, sliceRows } from './join-tensors.ts';
import type { RunTotals } from './run-statistics.ts';
import { countAnswer, countFailure, countRun, createRunTotals } from './run-statistics.ts';
import type { Runner, RunResult, StepTime } from './runner.ts';

export type QueueLimits = {
  /** Requests that wait at once. */
  readonly requestsMax: number;
  /** Input bytes that wait at once. */
  readonly bytesMax: number;
  /** Rows that are joined into one run. */
  readonly joinedRowsMax: number;
};

export type QueueRequest = {
  inputs: readonly Tensor[];
  rows: number;
  /** Outputs wanted, in order; all when absent. */
  outputs?: readonly string[] | undefined;
  /** How long the caller waits (ms). */
  deadlineMs: number;
  /** When the body was complete (`performance.now()`); now when absent. */
  receivedAt?: number;
  /** 1 is run first, `PRIORITY_LEVELS` last; 0, anything over and nothing at all mean `PRIORITY_DEFAULT`. */
  priority?: number | undefined;
  /** Whether the caller went away: the request is then not run. */
  isGone?: (() => boolean) | undefined;
};

/** Outputs of one request; `queueMs` before its run, `computeMs` of the run, `joinedRows` in that run. */
export type QueueAnswer = {
  outputs: Tensor[];
  queueMs: number;
  computeMs: number;
  joinedRows: number;
  /** SHA-256 of the inputs that are large, where the runner made them. */
  inputDigests?: readonly (string | null)[] | undefined;
  /** Of an ensemble. */
  steps?: readonly StepTime[] | undefined;
};

export type QueueStats = {
  depth: number;
  bytes: number;
  running: number;
  requests: number;
  rows: number;
  runs: number;
  failures: number;
  rejected: number;
};

export type RequestQueue = {
  /**
   * Throws `queue_full`, `deadline_exceeded`, `request_cancelled`, `model_crashed`, `inference_failed` or
   * `shutting_down`.
   */
  submit(request: QueueRequest): Promise<QueueAnswer>;
  stats(): QueueStats;
  /** Counts and times since the model was loaded; not a copy. */
  totals(): Readonly<RunTotals>;
  /** Refuses new requests and resolves when those taken are answered. */
  drain(): Promise<void>;
};

type Waiting = QueueRequest & {
  bytes: number;
  level: number;
  receivedAt: number;
  queuedAt: number;
  resolve(answer: QueueAnswer): void;
  reject(error: unknown): void;
};

/** Levels of priority, and the one of requests that name none. */
export const PRIORITY_LEVELS = 10;
export const PRIORITY_DEFAULT = 5;

function levelOf(priority = 0): number {
  return priority >= 1 && priority <= PRIORITY_LEVELS ? priority : PRIORITY_DEFAULT;
}

/** Errors of a joined run that may be the fault of one request in it. */
const TRIED_ALONE: ReadonlySet<string> = new Set(['inference_failed', 'output_too_large']);

/** How often requests past their deadline are looked for while some wait (ms). */
const SWEEP_MS = 50;

/**
 * The queue of one model. Whatever arrived in one turn of the event loop runs together when `isBatched`; there is no
 * timer, so a request alone never waits for company.
 */
export function createRequestQueue(runner: Runner, isBatched: boolean, limits: QueueLimits): RequestQueue {
  const waiting: Waiting[] = [];
  const stats = { bytes: 0, running: 0, requests: 0, rows: 0, runs: 0, failures: 0, rejected: 0 };
  const totals = createRunTotals();
  let isScheduled = false;
  let isDraining = false;
  let sweeper: NodeJS.Timeout | undefined;
  let onIdle: (() => void) | undefined;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(() => {
      isScheduled = false;
      flush();
    });
  }

  function take(index: number): Waiting {
    const request = (index === 0 ? waiting.shift() : waiting.splice(index, 1)[0]) as Waiting;
    stats.bytes -= request.bytes;
    return request;
  }

  function fail(request: Waiting, error: unknown): void {
    stats.failures += 1;
    countFailure(totals, performance.now() - request.receivedAt, error);
    request.reject(error);
    if (waiting.length === 0 && stats.running === 0) onIdle?.();
  }

  function rejectAll(error: AppError): void {
    while (waiting.length > 0) fail(take(0), error);
  }

  /** Drops requests at the head of the queue whose callers went away. */
  function dropGone(): void {
    while (waiting[0]?.isGone?.() === true)
      fail(take(0), new AppError('request_cancelled', 'The caller went away before the model ran.'));
  }

  function sweep(): void {
    dropGone();
    const now = performance.now();
    for (let i = waiting.length - 1; i >= 0; i -= 1) {
      const request = waiting[i] as Waiting;
      if (now - request.queuedAt < request.deadlineMs) continue;
      take(i);
      fail(
        request,
        new AppError('deadline_exceeded', `The request waited ${request.deadlineMs} ms and was not run.`),
      );
    }
    if (waiting.length === 0) {
      clearInterval(sweeper);
      sweeper = undefined;
    }
  }

  function nextBatch(): Waiting[] {
    const batch = [take(0)];
    const [first] = batch as [Waiting];
    let rows = first.rows;
    while (isBatched && waiting.length > 0) {
      dropGone();
      if (waiting.length === 0) break;
      const next = waiting[0] as Waiting;
      const isAlike = next.outputs?.join() === first.outputs?.join() && canJoin(first.inputs, next.inputs);
      if (!isAlike || rows + next.rows > limits.joinedRowsMax) break;
      rows += next.rows;
      batch.push(take(0));
    }
    return batch;
  }

  /** Hands out the outputs of a run and counts it. */
  function answer(batch: readonly Waiting[], startedAt: number, run: RunResult): void {
    const { computeMs, inputDigests, steps } = run;
    const isAlone = batch.length === 1;
    let row = 0;
    const parts = batch.map(({ rows }) => {
      const from = row;
      row += rows;
      return isAlone ? run.outputs : run.outputs.map((output) => sliceRows(output, from, row));
    });
    const joinedRows = row;
    const endedAt = performance.now();
    const times = {
      inputMs: run.startedAt - startedAt,
      computeMs,
      outputMs: endedAt - run.startedAt - computeMs,
    };
    stats.runs += 1;
    countRun(totals, joinedRows, times);
    for (const [i, request] of batch.entries()) {
      const queueMs = startedAt - request.queuedAt;
      countAnswer(totals, { rows: request.rows, requestMs: endedAt - request.receivedAt, queueMs }, times);
      request.resolve({
        outputs: parts[i] as Tensor[],
        queueMs,
        computeMs,
        joinedRows,
        inputDigests: isAlone ? inputDigests : undefined,
        steps,
      });
    }
  }

  async function runBatch(batch: readonly Waiting[]): Promise<void> {
    const [first] = batch as [Waiting];
    const startedAt = performance.now();
    try {
      const inputs =
        batch.length === 1
          ? first.inputs
          : first.inputs.map((_, i) => joinRows(batch.map((request) => request.inputs[i] as Tensor)));
      const run = await runner.run(inputs, first.outputs, batch);
      answer(batch, startedAt, run);
    } catch (error) {
      // one bad request must not fail its neighbours: each is tried alone
      if (batch.length > 1 && error instanceof AppError && TRIED_ALONE.has(error.code)) {
        for (const request of batch) await runBatch([request]);
        return;
      }
      for (const request of batch) fail(request, error);
    }
  }

  function flush(): void {
    const fault = runner.fault();
    if (fault !== undefined) rejectAll(fault);
    // a run that is over when it was begun has taken its share of this turn as well
    let left = runner.capacity();
    for (dropGone(); waiting.length > 0 && left > 0 && runner.capacity() > 0; dropGone()) {
      left -= 1;
      stats.running += 1;
      void runBatch(nextBatch()).finally(() => {
        stats.running -= 1;
        if (waiting.length > 0) schedule();
        else if (stats.running === 0) onIdle?.();
      });
    }
  }

  runner.onChange(schedule);
  return {
    submit(request) {
      const bytes = request.inputs.reduce((total, tensor) => total + tensorBytes(tensor), 0);
      if (isDraining)
        return Promise.reject(new AppError('shutting_down', 'The model is being unloaded; try again.'));
      const isFull =
        waiting.length >= limits.requestsMax || (waiting.length > 0 && stats.bytes + bytes > limits.bytesMax);
      if (isFull) {
        stats.rejected += 1;
        const what = `${waiting.length} requests with ${stats.bytes} bytes wait`;
        const error = new AppError('queue_full', `The queue of the model is full: ${what}; try again.`);
        countFailure(totals, performance.now() - (request.receivedAt ?? performance.now()), error);
        return Promise.reject(error);
      }
      stats.requests += 1;
      stats.rows += request.rows;
      stats.bytes += bytes;
      return new Promise((resolve, reject) => {
        const queuedAt = performance.now();
        const receivedAt = request.receivedAt ?? queuedAt;
        const level = levelOf(request.priority);
        let place = waiting.length;
        // behind all of its own level
        while (place > 0 && (waiting[place - 1] as Waiting).level > level) place -= 1;
        const { inputs, rows, outputs, deadlineMs, priority, isGone } = request;
        const taken = { inputs, rows, outputs, deadlineMs, priority, isGone };
        const entry = { ...taken, bytes, level, queuedAt, receivedAt, resolve, reject };
        if (place === waiting.length) waiting.push(entry);
        else waiting.splice(place, 0, entry);
        sweeper ??= setInterval(sweep, SWEEP_MS).unref();
        schedule();
      });
    },
    stats: () => ({ depth: waiting.length, ...stats }),
    totals: () => totals,
    drain() {
      isDraining = true;
      if (waiting.length === 0 && stats.running === 0) return Promise.resolve();
      return new Promise((resolve) => {
        onIdle = resolve;
      });
    },
  };
}
