import { setTimeout as sleep } from 'node:timers/promises';
import type { JobProgress, JobState, JobView } from '@millrace/contracts';
import { isAppError, isTerminal } from '@millrace/contracts';
import { readEvents } from './event-stream.ts';
import type { LogLine, Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** News of a job: its view when that changes, progress, and log lines. */
export type JobEvent =
  | { readonly type: 'state'; readonly job: JobView }
  | { readonly type: 'progress'; readonly progress: JobProgress & { time: string } }
  | { readonly type: 'log'; readonly line: { time: string; level: string; message: string } };

/** Waits between attempts to open a broken event stream again; after the last the error is thrown. */
const RECONNECT_WAITS_MS = [200, 500, 1_000, 2_000, 4_000, 8_000];

export type JobsClient = {
  list(query?: PageQuery & { state?: JobState }): Promise<Page<JobView>>;
  get(jobId: string): Promise<JobView>;
  cancel(jobId: string): Promise<JobView>;
  /** Stored log lines after the line `after`. */
  logs(jobId: string, query?: { after?: number; limit?: number }): Promise<LogLine[]>;
  /** News of a job until it has ended; a broken connection is opened again. */
  follow(jobId: string, options?: { signal?: AbortSignal }): AsyncGenerator<JobEvent>;
};

/** The routes that every kind of job has, under `path`. */
export function createJobsClient({ call, open }: Transport, path: string): JobsClient {
  const one = (jobId: string) => `${path}/${encodeURIComponent(jobId)}`;
  return {
    list: async (query = {}) => await call('GET', path, { query }),
    get: async (jobId) => await call('GET', one(jobId)),
    cancel: async (jobId) => await call('POST', `${one(jobId)}/cancel`),
    logs: async (jobId, query = {}) =>
      (await call<{ lines: LogLine[] }>('GET', `${one(jobId)}/logs`, { query })).lines,
    async *follow(jobId, options = {}) {
      for (let failures = 0; ; ) {
        try {
          for await (const { event, data } of readEvents(await open(`${one(jobId)}/events`, options))) {
            failures = 0;
            const news = toJobEvent(event, data);
            if (news !== undefined) yield news;
            if (news?.type === 'state' && isTerminal(news.job.state)) return;
          }
        } catch (error) {
          if (options.signal?.aborted === true) return;
          if (isAppError(error) && !error.retryable) throw error;
          if (failures >= RECONNECT_WAITS_MS.length) throw error;
        }
        const waitMs = RECONNECT_WAITS_MS[Math.min(failures, RECONNECT_WAITS_MS.length - 1)] ?? 0;
        failures += 1;
        await sleep(waitMs, undefined, options).catch(() => undefined);
        if (options.signal?.aborted === true) return;
      }
    },
  };
}

function toJobEvent(event: string, data: unknown): JobEvent | undefined {
  if (event === 'state') return { type: 'state', job: data as JobView };
  if (event === 'progress') return { type: 'progress', progress: data as JobProgress & { time: string } };
  if (event === 'log') return { type: 'log', line: data as { time: string; level: string; message: string } };
  return undefined;
}
