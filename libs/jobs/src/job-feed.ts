import type { Bus } from '@millrace/bus';
import type { JobTelemetry } from '@millrace/contracts';
import type { Subscription } from '@nats-io/transport-node';
import type { JobService } from './job.service.ts';

/** What happens to a job, as it happens: telemetry of its worker, or a change of state. */
export type JobNews = { type: 'telemetry'; telemetry: JobTelemetry } | { type: 'state' };

export type JobFeed = {
  /** Calls `listener` with the news of one job; returns the function that ends it. */
  follow(jobId: string, listener: (news: JobNews) => void): () => void;
  stop(): void;
};

/** Live news of all jobs of a service for its open event streams; every replica hears all of them. */
export function startJobFeed(bus: Bus, jobs: JobService, aggregate: string): JobFeed {
  const followers = new Map<string, Set<(news: JobNews) => void>>();
  const tell = (jobId: string, news: JobNews): void => {
    for (const listener of followers.get(jobId) ?? []) listener(news);
  };
  const lastToken = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);

  const telemetry: Subscription = bus.nc.subscribe(`millrace.tel.${jobs.kind}.*`, {
    callback: (error, message) => {
      const jobId = lastToken(message.subject);
      if (error !== null || !followers.has(jobId)) return;
      try {
        tell(jobId, { type: 'telemetry', telemetry: message.json<JobTelemetry>() });
      } catch {
        // telemetry may be malformed by a foreign worker; the stored consumer reports it
      }
    },
  });
  const states: Subscription = bus.nc.subscribe(`millrace.evt.${aggregate}.*.v1`, {
    callback: (error, message) => {
      const jobId = message.headers?.get('ce-subject');
      if (error === null && jobId !== undefined) tell(jobId, { type: 'state' });
    },
  });

  return {
    follow(jobId, listener) {
      const listeners = followers.get(jobId) ?? new Set();
      listeners.add(listener);
      followers.set(jobId, listeners);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) followers.delete(jobId);
      };
    },
    stop() {
      telemetry.unsubscribe();
      states.unsubscribe();
      followers.clear();
    },
  };
}
