import { AppError } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { CHAIN_GENESIS, chainHash, verifyChain } from '@millrace/integrity';
import { and, asc, desc, eq, gt, gte, lt, lte, max, sql, sum } from 'drizzle-orm';
import type { AuditRow } from './audit.table.ts';
import { auditHeads, auditLog, usageHours } from './audit.table.ts';
import type { AuditEntry } from './audit-entry.ts';
import { hashedPart } from './audit-entry.ts';

/** Rows read at once when a chain is checked, and removed at once when they are too old. */
const CHAIN_PAGE_ROWS = 1_000;

export type AuditFilter = {
  tenant: string;
  limit: number;
  beforeSeq?: number;
  principal?: string;
  kind?: string;
  method?: string;
  since?: Date;
  until?: Date;
};
export type UsageCounts = { requests: number; predictions: number; refused: number };

/** Reads and writes the audit log; `db` is the pool or an open transaction. */
export function createAuditRepository(db: Executor) {
  return {
    /** Adds entries of one tenant to its chain, which the row of its head keeps in one line. Needs a transaction. */
    async append(tenant: string, entries: readonly AuditEntry[]): Promise<void> {
      const empty = { seq: 0, hash: CHAIN_GENESIS, cutSeq: 0, cutHash: CHAIN_GENESIS };
      await db
        .insert(auditHeads)
        .values({ tenant, ...empty })
        .onConflictDoNothing();
      const [head = { tenant, ...empty }] = await db
        .select()
        .from(auditHeads)
        .where(eq(auditHeads.tenant, tenant))
        .for('update');
      let { seq, hash } = head;
      const rows = entries.map((entry): AuditRow => {
        seq += 1;
        const prevHash = hash;
        const row = { ...entry, tenant, seq };
        hash = chainHash(prevHash, hashedPart(row));
        return { ...row, prevHash, hash };
      });
      await db.insert(auditLog).values(rows);
      await db.update(auditHeads).set({ seq, hash }).where(eq(auditHeads.tenant, tenant));
    },
    /** Newest first. */
    async list(filter: AuditFilter): Promise<AuditRow[]> {
      const { tenant, beforeSeq, principal, kind, method, since, until, limit } = filter;
      return await db
        .select()
        .from(auditLog)
        .where(
          and(
            eq(auditLog.tenant, tenant),
            beforeSeq === undefined ? undefined : lt(auditLog.seq, beforeSeq),
            principal === undefined ? undefined : eq(auditLog.principal, principal),
            kind === undefined ? undefined : eq(auditLog.kind, kind),
            method === undefined ? undefined : eq(auditLog.method, method),
            since === undefined ? undefined : gte(auditLog.at, since),
            until === undefined ? undefined : lt(auditLog.at, until),
          ),
        )
        .orderBy(desc(auditLog.seq))
        .limit(limit);
    },
    /**
     * Recomputes a tenant's chain from where it begins now to its head.
     * @throws AppError `log_chain_broken` when a row was changed, removed or moved
     */
    async verify(tenant: string): Promise<{ head: string; length: number; removed: number }> {
      const [end] = await db.select().from(auditHeads).where(eq(auditHeads.tenant, tenant));
      if (end === undefined) return { head: CHAIN_GENESIS, length: 0, removed: 0 };
      let head = end.cutHash;
      let seq = end.cutSeq;
      while (seq < end.seq) {
        const rows = await db
          .select()
          .from(auditLog)
          .where(and(eq(auditLog.tenant, tenant), gt(auditLog.seq, seq), lte(auditLog.seq, end.seq)))
          .orderBy(asc(auditLog.seq))
          .limit(CHAIN_PAGE_ROWS);
        const last = rows.at(-1);
        if (last === undefined)
          throw new AppError('log_chain_broken', `The audit log ends after row ${seq} of ${end.seq}.`);
        const chain = rows.map((row) => ({ prevHash: row.prevHash, hash: row.hash, entry: hashedPart(row) }));
        head = verifyChain(chain, { after: head }).head;
        seq = last.seq;
      }
      if (head !== end.hash)
        throw new AppError('log_chain_broken', `Row ${seq} of the audit log is not its end.`);
      return { head, length: end.seq - end.cutSeq, removed: end.cutSeq };
    },
    /** Removes the rows of all tenants before an instant from the beginning of their chains. Needs a transaction. */
    async cut(before: Date): Promise<void> {
      const old = await db
        .select({ tenant: auditLog.tenant, seq: max(auditLog.seq) })
        .from(auditLog)
        .where(lt(auditLog.at, before))
        .groupBy(auditLog.tenant)
        .orderBy(asc(auditLog.tenant));
      for (const { tenant, seq } of old) {
        if (seq === null) continue;
        const isLast = and(eq(auditLog.tenant, tenant), eq(auditLog.seq, seq));
        await db
          .update(auditHeads)
          .set({ cutSeq: seq, cutHash: sql`(select ${auditLog.hash} from ${auditLog} where ${isLast})` })
          .where(eq(auditHeads.tenant, tenant));
        await db.delete(auditLog).where(and(eq(auditLog.tenant, tenant), lte(auditLog.seq, seq)));
      }
      await db.delete(usageHours).where(lt(usageHours.hour, before));
    },
    async addUsage(tenant: string, hour: Date, counts: UsageCounts): Promise<void> {
      await db
        .insert(usageHours)
        .values({ tenant, hour, ...counts })
        .onConflictDoUpdate({
          target: [usageHours.tenant, usageHours.hour],
          set: {
            requests: sql`${usageHours.requests} + excluded.requests`,
            predictions: sql`${usageHours.predictions} + excluded.predictions`,
            refused: sql`${usageHours.refused} + excluded.refused`,
          },
        });
    },
    async usageSince(tenant: string, since: Date): Promise<UsageCounts> {
      const [row] = await db
        .select({
          requests: sum(usageHours.requests).mapWith(Number),
          predictions: sum(usageHours.predictions).mapWith(Number),
          refused: sum(usageHours.refused).mapWith(Number),
        })
        .from(usageHours)
        .where(and(eq(usageHours.tenant, tenant), gte(usageHours.hour, since)));
      return { requests: row?.requests ?? 0, predictions: row?.predictions ?? 0, refused: row?.refused ?? 0 };
    },
  };
}
