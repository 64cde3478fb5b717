import type { Outbox } from '@millrace/bus';
import { HistoryAdvanced } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { CHAIN_GENESIS, chainHash, verifyChain } from '@millrace/integrity';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import { and, asc, desc, eq, gt, isNull, sql } from 'drizzle-orm';
import type { GovernanceTables } from '../governance/governance.table.ts';
import type { ModelTables } from '../models/model.table.ts';
import type { ChangeEntry, ChangeRow, HistoryTables, NewChange } from './change-log.table.ts';
import { factsOf } from './facts.ts';

/** Rows read at once when a chain is checked. */
const VERIFY_PAGE_ROWS = 1_000;

/** The last row of a chain. */
export type ChainHead = { readonly seq: number; readonly hash: string; readonly at: Date };

export type ChangeLog = ReturnType<typeof createChangeLog>;

type Tables = HistoryTables & Pick<ModelTables, 'models'> & Pick<GovernanceTables, 'tenantGovernance'>;

/** The append-only history of each model and tenant; each row is announced with the new head of its chain. */
export function createChangeLog(tables: Tables, outbox: Outbox) {
  const { changeLog: table, changeFacts, models, tenantGovernance } = tables;

  const after = (db: Executor, modelId: string, seq: number, limit: number): Promise<ChangeRow[]> =>
    db
      .select()
      .from(table)
      .where(and(eq(table.modelId, modelId), gt(table.seq, seq)))
      .orderBy(asc(table.seq))
      .limit(limit);

  /** Whose history a chain is. */
  async function tenantOf(db: Executor, chainId: string): Promise<string | undefined> {
    const { rows } = await db.execute<{ tenant: string }>(sql`
      select tenant from ${models} where id = ${chainId}
      union all select tenant from ${tenantGovernance} where chain_id = ${chainId}`);
    return rows[0]?.tenant;
  }

  async function head(db: Executor, modelId: string): Promise<ChainHead | undefined> {
    const rows = await db
      .select({ seq: table.seq, hash: table.hash, at: table.at })
      .from(table)
      .where(eq(table.modelId, modelId))
      .orderBy(desc(table.seq))
      .limit(1);
    return rows[0];
  }

  /** Notes from when until when what the row says is so. */
  async function index(tx: Executor, modelId: string, entry: ChangeEntry, at: Date): Promise<void> {
    for (const { kind, key, value } of factsOf(entry)) {
      const same = and(
        eq(changeFacts.modelId, modelId),
        eq(changeFacts.kind, kind),
        eq(changeFacts.key, key),
        isNull(changeFacts.toAt),
      );
      const ended = await tx.update(changeFacts).set({ toAt: at }).where(same).returning({
        seq: changeFacts.seq,
      });
      if (value === null && ended.length === 0) continue;
      await tx.insert(changeFacts).values({ modelId, kind, key, value, seq: entry.seq, fromAt: at });
    }
  }

  return {
    /** Adds a row. The caller holds the lock of the model's row, which keeps the chain in one line. */
    async append(tx: Executor, modelId: string, entry: NewChange): Promise<void> {
      const last = await head(tx, modelId);
      // clocks of replicas differ; the order of a history is that of its rows
      const at = new Date(Math.max(Date.now(), last?.at.getTime() ?? 0));
      const seq = (last?.seq ?? 0) + 1;
      const whole = { ...entry, seq, at: at.toISOString() } as ChangeEntry;
      const prevHash = last?.hash ?? CHAIN_GENESIS;
      const hash = chainHash(prevHash, whole);
      await tx.insert(table).values({ modelId, seq, at, entry: whole, prevHash, hash });
      await index(tx, modelId, whole, at);
      const { model, modelVersionId, version, action, by } = whole;
      const tenant = await tenantOf(tx, modelId);
      await outbox.append(
        tx,
        HistoryAdvanced,
        modelId,
        {
          chainId: modelId,
          ...(model !== undefined && { model }),
          seq,
          prevHash,
          head: hash,
          at: whole.at,
          action,
          by,
          ...(modelVersionId !== undefined && { modelVersionId }),
          ...(version !== undefined && { version }),
        },
        { tenant: tenant ?? PLATFORM_TENANT },
      );
    },

    after,
    head,

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
