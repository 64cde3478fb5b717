import type { ErrorCode } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';
import type { LatencyCounts } from './latency-counts.ts';
import { countLatency, createLatencyCounts } from './latency-counts.ts';

/** Parts of a run (ms): inputs made ready and handed over, the runtime's own work, outputs handed out. */
export type RunTimes = { readonly inputMs: number; readonly computeMs: number; readonly outputMs: number };

/** Runs of one number of rows. */
export type BatchTotals = { runs: number; inputMs: number; computeMs: number; outputMs: number };

/** Why a request got no answer: a bound of the queue, a caller who left, the model, anything else. */
export type FailureReason = 'REJECTED' | 'CANCELED' | 'BACKEND' | 'OTHER';

/** Sums since the model was loaded. Times of requests; those of a joined run count for each of its requests. */
export type RunTotals = {
  answered: number;
  rows: number;
  runs: number;
  /** From the arrival of the body to the answer (ms). */
  answeredMs: number;
  failedMs: number;
  queueMs: number;
  inputMs: number;
  computeMs: number;
  outputMs: number;
  /** Time of the last answer (ms since 1970); 0 before the first. */
  lastAnswerAt: number;
  failures: Record<FailureReason, number>;
  /** Answered requests by their time. */
  latencies: LatencyCounts;
  /** By rows of the run; at most as many as a request may have rows. */
  batches: Map<number, BatchTotals>;
};

const REASONS: Readonly<Partial<Record<ErrorCode, FailureReason>>> = {
  queue_full: 'REJECTED',
  deadline_exceeded: 'REJECTED',
  shutting_down: 'REJECTED',
  request_cancelled: 'CANCELED',
  inference_failed: 'BACKEND',
  model_crashed: 'BACKEND',
  output_too_large: 'BACKEND',
  exceeds_memory: 'BACKEND',
};

/** Counts of a model that has done nothing yet. */
export function createRunTotals(): RunTotals {
  return {
    answered: 0,
    rows: 0,
    runs: 0,
    answeredMs: 0,
    failedMs: 0,
    queueMs: 0,
    inputMs: 0,
    computeMs: 0,
    outputMs: 0,
    lastAnswerAt: 0,
    failures: { REJECTED: 0, CANCELED: 0, BACKEND: 0, OTHER: 0 },
    latencies: createLatencyCounts(),
    batches: new Map(),
  };
}

/** Adds one run of `rows` rows. */
export function countRun(totals: RunTotals, rows: number, times: RunTimes): void {
  totals.runs += 1;
  let batch = totals.batches.get(rows);
  if (batch === undefined) {
    batch = { runs: 0, inputMs: 0, computeMs: 0, outputMs: 0 };
    totals.batches.set(rows, batch);
  }
  batch.runs += 1;
  batch.inputMs += times.inputMs;
  batch.computeMs += times.computeMs;
  batch.outputMs += times.outputMs;
}

/** Adds one request that was answered; `times` are those of its whole run. */
export function countAnswer(
  totals: RunTotals,
  request: { readonly rows: number; readonly requestMs: number; readonly queueMs: number },
  times: RunTimes,
): void {
  totals.answered += 1;
  totals.rows += request.rows;
  totals.answeredMs += request.requestMs;
  countLatency(totals.latencies, request.requestMs);
  totals.queueMs += request.queueMs;
  totals.inputMs += times.inputMs;
  totals.computeMs += times.computeMs;
  totals.outputMs += times.outputMs;
  totals.lastAnswerAt = Date.now();
}

/** Adds one request that got an error. */
export function countFailure(totals: RunTotals, requestMs: number, error: unknown): void {
  totals.failedMs += requestMs;
  totals.failures[isAppError(error) ? (REASONS[error.code] ?? 'OTHER') : 'OTHER'] += 1;
}
