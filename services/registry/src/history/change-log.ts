import type { Executor } from '@millrace/database';
import { CHAIN_GENESIS, chainHash, verifyChain } from '@millrace/integrity';
import { and, asc, desc, eq, gt } from 'drizzle-orm';
import type { ChangeEntry, ChangeLogTable, ChangeRow } from './change-log.table.ts';

/** Rows read at once when a chain is checked. */
const VERIFY_PAGE_ROWS = 1_000;

export type ChangeLog = ReturnType<typeof createChangeLog>;

/** The append-only history of each model. */
export function createChangeLog(table: ChangeLogTable) {
  const after = (db: Executor, modelId: string, seq: number, limit: number): Promise<ChangeRow[]> =>
    db
      .select()
      .from(table)
      .where(and(eq(table.modelId, modelId), gt(table.seq, seq)))
      .orderBy(asc(table.seq))
      .limit(limit);

  return {
    /** Adds a row. The caller holds the lock of the model's row, which keeps the chain in one line. */
    async append(tx: Executor, modelId: string, entry: Omit<ChangeEntry, 'seq' | 'at'>): Promise<void> {
      const [last] = await tx
        .select({ seq: table.seq, hash: table.hash })
        .from(table)
        .where(eq(table.modelId, modelId))
        .orderBy(desc(table.seq))
        .limit(1);
      const at = new Date();
      const seq = (last?.seq ?? 0) + 1;
      const whole = { ...entry, seq, at: at.toISOString() } as ChangeEntry;
      const prevHash = last?.hash ?? CHAIN_GENESIS;
      const hash = chainHash(prevHash, whole);
      await tx.insert(table).values({ modelId, seq, at, entry: whole, prevHash, hash });
    },

    after,

    /**
     * Recomputes a model's chain and returns its head.
     * @throws AppError `log_chain_broken` when a row was changed, removed or moved
     */
    async verify(db: Executor, modelId: string): Promise<{ head: string; length: number }> {
      let head = CHAIN_GENESIS;
      let length = 0;
      for (;;) {
        const rows = await after(db, modelId, length, VERIFY_PAGE_ROWS);
        head = verifyChain(rows, { after: head }).head;
        length += rows.length;
        if (rows.length < VERIFY_PAGE_ROWS) return { head, length };
      }
    },
  };
}
