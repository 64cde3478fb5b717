import type { Bus, BusTables, DurableSpec, Pull } from '@millrace/bus';
import { ensureDurable, serveRpc, startConsumer, startPull } from '@millrace/bus';
import type { JobEvents, WorkerPool } from '@millrace/contracts';
import { AppError, JobTelemetry, workerMethods } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { JsMsg } from '@nats-io/jetstream';
import { Compile } from 'typebox/compile';
import type { JobService } from './job.service.ts';
import type { JobFeed } from './job-feed.ts';
import { startJobFeed } from './job-feed.ts';

const RECONCILE_MS = 5_000;
const TELEMETRY_ACK_WAIT_MS = 30_000;
/** A backstop only: attempts are counted in Postgres. */
const JOB_MAX_DELIVER = 1_000;
const MAX_WORKERS = 1_000;

export type JobRuntimeOptions = {
  bus: Bus;
  database: Database;
  busTables: BusTables;
  jobs: JobService;
  events: JobEvents;
  pools: readonly WorkerPool[];
  /** What a redriven dead letter of a failed job does; default: a new job with the same spec. */
  onRetryRequested?: (tx: Executor, jobId: string) => Promise<unknown>;
};

export type JobRuntime = { readonly feed: JobFeed; stop(): Promise<void> };

/** The durable that workers of a pool pull from. */
export function jobDurable(kind: string, pool: WorkerPool, leaseMs: number): DurableSpec {
  return {
    stream: 'jobs',
    durable: `${kind}-${pool}`,
    filterSubject: `millrace.job.${kind}.${pool}`,
    ackWaitMs: leaseMs,
    maxDeliver: JOB_MAX_DELIVER,
    maxAckPending: MAX_WORKERS,
  };
}

/** Runs what a job-owning service does beside its HTTP routes: worker protocol, telemetry, reconciler, live feed. */
export async function startJobRuntime(options: JobRuntimeOptions): Promise<JobRuntime> {
  const { bus, database, busTables, jobs, events } = options;
  for (const pool of options.pools)
    await ensureDurable(bus, jobDurable(jobs.kind, pool, jobs.settings.leaseMs));
  const methods = serveWorkerMethods(options);
  const pulls: Pull[] = [
    startTelemetry(options),
    startConsumer(
      { bus, database, tables: busTables },
      {
        event: events.retryRequested,
        durable: `${jobs.service}-${events.retryRequested.aggregate}-retry-requested`,
        apply: async (tx, data) => {
          await (options.onRetryRequested ?? jobs.retry)(tx, data.jobId);
        },
      },
    ),
  ];
  const feed = startJobFeed(bus, jobs, events.created.aggregate);
  const reconciler = startReconciler(options);
  return {
    feed,
    async stop() {
      await reconciler.stop();
      feed.stop();
      await Promise.all([...methods, ...pulls].map((part) => part.stop()));
    },
  };
}

function serveWorkerMethods({ bus, database, jobs }: JobRuntimeOptions): { stop(): Promise<void> }[] {
  const { service } = jobs;
  return [
    serveRpc(bus, service, 'claim', workerMethods.claim, (call) => jobs.claim(call.jobId, call.workerId)),
    serveRpc(bus, service, 'renew', workerMethods.renew, (call) => jobs.renew(call)),
    serveRpc(bus, service, 'checkpoint', workerMethods.checkpoint, (call) => jobs.checkpoint(call)),
    serveRpc(bus, service, 'complete', workerMethods.complete, (call) => jobs.complete(call)),
    serveRpc(bus, service, 'fail', workerMethods.fail, (call) => jobs.fail(call)),
    serveRpc(bus, service, 'cancelled', workerMethods.cancelled, (call) => jobs.cancelled(call)),
    serveRpc(bus, service, 'release', workerMethods.release, (call) => jobs.release(call)),
    serveRpc(bus, service, 'announce', workerMethods.announce, async ({ workerId, ...worker }) => {
      await jobs.repository.announce(database.db, { id: workerId, ...worker });
      return { ok: true as const };
    }),
  ];
}

/** Keeps log lines and the latest progress; the stream position makes a repeated delivery harmless. */
function startTelemetry({ bus, database, jobs }: JobRuntimeOptions): Pull {
  const validator = Compile(JobTelemetry);

  async function store(message: JsMsg): Promise<void> {
    const telemetry: unknown = message.json();
    if (!validator.Check(telemetry))
      throw new AppError('invalid_request', `Telemetry on ${message.subject} does not fit its schema.`);
    const { jobId, fence } = telemetry;
    if (telemetry.type === 'progress') {
      if (telemetry.progress !== undefined)
        await jobs.repository.setProgress(database.db, jobId, fence, telemetry.progress);
      return;
    }
    await jobs.repository.addLog(database.db, {
      jobId,
      fence,
      seq: message.info.streamSequence,
      time: new Date(telemetry.time),
      level: telemetry.level ?? 'info',
      message: telemetry.message ?? '',
    });
  }

  return startPull(
    bus,
    {
      stream: 'telemetry',
      durable: `${jobs.service}-job-telemetry`,
      filterSubject: `millrace.tel.${jobs.kind}.*`,
      ackWaitMs: TELEMETRY_ACK_WAIT_MS,
      maxDeliver: 20,
      maxAckPending: 512,
    },
    {
      concurrency: 1,
      onMessage: async (message) => {
        try {
          await store(message);
          message.ack();
        } catch (error) {
          bus.logger.warn({ subject: message.subject, error: String(error) }, 'job telemetry not stored');
          // telemetry decides nothing: a malformed line is let go, an outage is waited out
          if (error instanceof SyntaxError || (error instanceof AppError && !error.retryable))
            message.term('malformed');
          else message.nak(5_000);
        }
      },
    },
  );
}

function startReconciler({ bus, database, jobs }: JobRuntimeOptions): { stop(): Promise<void> } {
  let inHand: Promise<void> = Promise.resolve();
  const round = async (): Promise<void> => {
    try {
      const treated = await jobs.reconcile();
      if (treated > 0)
        bus.logger.info(
          { kind: jobs.kind, treated },
          'reconciler treated jobs without a live worker or message',
        );
      await jobs.repository.forgetWorkers(database.db);
    } catch (error) {
      bus.logger.warn(
        { kind: jobs.kind, error: String(error) },
        'reconciler could not run; it will try again',
      );
    }
  };
  const timer = setInterval(() => {
    inHand = inHand.then(round);
  }, RECONCILE_MS);
  return {
    async stop() {
      clearInterval(timer);
      await inHand;
    },
  };
}
