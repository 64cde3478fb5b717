import type { Database } from '@millrace/database';
import type { Logger, Metrics } from '@millrace/service-kit';
import type { UsageCounts } from './audit.repository.ts';
import { createAuditRepository } from './audit.repository.ts';
import type { AuditEntry } from './audit-entry.ts';

/** Entries that wait to be written; more are dropped, counted, and the log says how many. */
const QUEUE_MAX = 10_000;
/** Entries of one transaction. */
const BATCH_MAX = 500;
/** How often what waits is written (ms): the most that a crash loses of what passed through. */
const FLUSH_MS = 500;
/** How often rows past the retention are removed (ms). */
const RETENTION_MS = 60 * 60_000;
const HOUR_MS = 60 * 60_000;
const DAY_MS = 24 * HOUR_MS;
/** Refusals that are written in a second; a flood of them is counted only. */
const DENIALS_PER_SECOND = 50;

export type AuditWriter = {
  /** Takes an entry for the next batch; never throws and never waits. */
  add(entry: AuditEntry): void;
  /** Writes an entry now, for what must not be done without a trace. Rejects when it cannot be written. */
  write(entry: AuditEntry): Promise<void>;
  /** Counts a request for the usage of its tenant. */
  count(tenant: string, what: Partial<UsageCounts>): void;
  /** Writes all that waits. */
  flush(): Promise<void>;
  stop(): Promise<void>;
};

/** Writes the audit log and the hourly usage in batches, beside the requests. */
export function startAuditWriter(deps: {
  database: Database;
  logger: Logger;
  metrics: Metrics;
  retentionDays: number;
}): AuditWriter {
  const { database, logger, retentionDays } = deps;
  const dropped = deps.metrics.counter({
    name: 'audit_dropped_total',
    help: 'Entries of the audit log that were not written: the queue was full, or refusals came in a flood.',
  });
  let queue: AuditEntry[] = [];
  let usage = new Map<string, UsageCounts>();
  let lost = 0;
  let denials = { second: 0, count: 0 };
  let running: Promise<void> = Promise.resolve();
  let cutAtMs = 0;

  function lose(): void {
    lost += 1;
    dropped.inc();
  }

  function isFlood(entry: AuditEntry): boolean {
    if (entry.kind !== 'denial') return false;
    const second = Math.floor(entry.at.getTime() / 1_000);
    denials = second === denials.second ? { second, count: denials.count + 1 } : { second, count: 1 };
    return denials.count > DENIALS_PER_SECOND;
  }

  async function writeBatch(): Promise<void> {
    const batch = queue.slice(0, BATCH_MAX);
    const gap = lost;
    const counts = usage;
    if (batch.length === 0 && gap === 0 && counts.size === 0) return;
    usage = new Map();
    try {
      await database.transaction(async (tx) => {
        const repository = createAuditRepository(tx);
        const entries = gap === 0 ? batch : [...batch, gapEntry(gap)];
        for (const [tenant, own] of byTenant(entries)) await repository.append(tenant, own);
        const hour = new Date(Math.floor(Date.now() / HOUR_MS) * HOUR_MS);
        for (const [tenant, own] of sorted(counts)) await repository.addUsage(tenant, hour, own);
      });
    } catch (error) {
      for (const [tenant, own] of counts) add(usage, tenant, own);
      throw error;
    }
    queue = queue.slice(batch.length);
    lost -= gap;
  }

  async function retain(): Promise<void> {
    if (Date.now() < cutAtMs) return;
    cutAtMs = Date.now() + RETENTION_MS;
    const before = new Date(Date.now() - retentionDays * DAY_MS);
    await database.transaction(async (tx) => await createAuditRepository(tx).cut(before));
  }

  async function round(): Promise<void> {
    do await writeBatch();
    while (queue.length > 0);
  }

  /** One batch after the other, whoever asks. */
  function flush(): Promise<void> {
    const next = running.then(round);
    running = next.catch(() => undefined);
    return next;
  }

  const timer = setInterval(() => {
    flush()
      .then(retain)
      .catch((error: unknown) =>
        logger.warn({ err: error }, 'The audit log could not be written; trying again.'),
      );
  }, FLUSH_MS);
  timer.unref();

  return {
    add(entry) {
      if (isFlood(entry) || queue.length >= QUEUE_MAX) lose();
      else queue.push(entry);
    },
    async write(entry) {
      await database.transaction(async (tx) => {
        await createAuditRepository(tx).append(entry.tenant, [entry]);
      });
    },
    count: (tenant, what) => add(usage, tenant, what),
    flush,
    async stop() {
      clearInterval(timer);
      await flush().catch((error: unknown) =>
        logger.error({ err: error, entries: queue.length }, 'The end of the audit log could not be written.'),
      );
    },
  };
}

function gapEntry(count: number): AuditEntry {
  const nobody = { principal: 'gateway', method: '-', route: '-', requestId: '-', remoteAddress: '-' };
  return {
    tenant: 'default',
    at: new Date(),
    kind: 'lost',
    ...nobody,
    resource: `${count} entries were not written`,
    status: 0,
    code: null,
  };
}

function add(usage: Map<string, UsageCounts>, tenant: string, what: Partial<UsageCounts>): void {
  const own = usage.get(tenant) ?? { requests: 0, predictions: 0, refused: 0 };
  own.requests += what.requests ?? 0;
  own.predictions += what.predictions ?? 0;
  own.refused += what.refused ?? 0;
  usage.set(tenant, own);
}

/** In one order always, so that two gateways never wait for each other's rows. */
function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function byTenant(entries: readonly AuditEntry[]): [string, AuditEntry[]][] {
  return sorted(Map.groupBy(entries, ({ tenant }) => tenant));
}
