import { AppError } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import { tensorBytes } from '../tensors/tensor.ts';
import { canJoin, joinRows, sliceRows } from './join-tensors.ts';
import type { Runner } from './runner.ts';

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
  outputs?: readonly string[];
  /** How long the caller waits (ms). */
  deadlineMs: number;
};

/** Outputs of one request; `queueMs` before its run, `computeMs` of the run, `joinedRows` in that run. */
export type QueueAnswer = {
  outputs: Tensor[];
  queueMs: number;
  computeMs: number;
  joinedRows: number;
  /** SHA-256 of the inputs that are large, where the runner made them. */
  inputDigests?: readonly (string | null)[];
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
  /** Throws `queue_full`, `deadline_exceeded`, `model_crashed`, `inference_failed`, `shutting_down`. */
  submit(request: QueueRequest): Promise<QueueAnswer>;
  stats(): QueueStats;
  /** Refuses new requests and resolves when those taken are answered. */
  drain(): Promise<void>;
};

type Waiting = QueueRequest & {
  bytes: number;
  queuedAt: number;
  resolve(answer: QueueAnswer): void;
  reject(error: unknown): void;
};

/** How often requests past their deadline are looked for while some wait (ms). */
const SWEEP_MS = 50;

/**
 * The queue of one model. Whatever arrived in one turn of the event loop runs together when `isBatched`; there is no
 * timer, so a request alone never waits for company.
 */
export function createRequestQueue(runner: Runner, isBatched: boolean, limits: QueueLimits): RequestQueue {
  const waiting: Waiting[] = [];
  const stats = { bytes: 0, running: 0, requests: 0, rows: 0, runs: 0, failures: 0, rejected: 0 };
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
    const [request] = waiting.splice(index, 1) as [Waiting];
    stats.bytes -= request.bytes;
    return request;
  }

  function rejectAll(error: AppError): void {
    while (waiting.length > 0) {
      stats.failures += 1;
      take(0).reject(error);
    }
  }

  function sweep(): void {
    const now = performance.now();
    for (let i = waiting.length - 1; i >= 0; i -= 1) {
      const request = waiting[i] as Waiting;
      if (now - request.queuedAt < request.deadlineMs) continue;
      take(i);
      stats.failures += 1;
      request.reject(
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
      const next = waiting[0] as Waiting;
      const isAlike = next.outputs?.join() === first.outputs?.join() && canJoin(first.inputs, next.inputs);
      if (!isAlike || rows + next.rows > limits.joinedRowsMax) break;
      rows += next.rows;
      batch.push(take(0));
    }
    return batch;
  }

  async function runBatch(batch: readonly Waiting[]): Promise<void> {
    const [first] = batch as [Waiting];
    const startedAt = performance.now();
    try {
      const inputs = first.inputs.map((_, i) =>
        joinRows(batch.map((request) => request.inputs[i] as Tensor)),
      );
      const { outputs, computeMs, inputDigests } = await runner.run(inputs, first.outputs);
      const digests = batch.length === 1 && inputDigests !== undefined ? { inputDigests } : {};
      const joinedRows = batch.reduce((total, request) => total + request.rows, 0);
      stats.runs += 1;
      let row = 0;
      for (const request of batch) {
        const to = row + request.rows;
        const own = batch.length === 1 ? outputs : outputs.map((output) => sliceRows(output, row, to));
        row = to;
        request.resolve({
          outputs: own,
          queueMs: startedAt - request.queuedAt,
          computeMs,
          joinedRows,
          ...digests,
        });
      }
    } catch (error) {
      // one bad request must not fail its neighbours: each is tried alone
      if (batch.length > 1 && error instanceof AppError && error.code === 'inference_failed') {
        for (const request of batch) await runBatch([request]);
        return;
      }
      stats.failures += batch.length;
      for (const request of batch) request.reject(error);
    }
  }

  function flush(): void {
    const fault = runner.fault();
    if (fault !== undefined) rejectAll(fault);
    while (waiting.length > 0 && runner.capacity() > 0) {
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
        return Promise.reject(
          new AppError('queue_full', `The queue of the model is full: ${what}; try again.`),
        );
      }
      stats.requests += 1;
      stats.rows += request.rows;
      stats.bytes += bytes;
      return new Promise((resolve, reject) => {
        waiting.push({ ...request, bytes, queuedAt: performance.now(), resolve, reject });
        sweeper ??= setInterval(sweep, SWEEP_MS).unref();
        schedule();
      });
    },
    stats: () => ({ depth: waiting.length, ...stats }),
    drain() {
      isDraining = true;
      if (waiting.length === 0 && stats.running === 0) return Promise.resolve();
      return new Promise((resolve) => {
        onIdle = resolve;
      });
    },
  };
}
