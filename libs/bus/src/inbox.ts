import type { Executor } from '@millrace/database';
import { and, eq } from 'drizzle-orm';
import type { BusTables } from './outbox.table.ts';

/**
 * Marks a message as taken by a consumer inside the transaction of its effect.
 * Returns false when it was taken before, so the effect must not happen again.
 */
export async function markTaken(
  tx: Executor,
  tables: BusTables,
  consumer: string,
  messageId: string,
): Promise<boolean> {
  const rows = await tx
    .insert(tables.inbox)
    .values({ consumer, messageId })
    .onConflictDoNothing()
    .returning({ messageId: tables.inbox.messageId });
  return rows.length === 1;
}

/** Whether a consumer has taken a message; a cheap look before expensive preparation. */
export async function isTaken(
  db: Executor,
  tables: BusTables,
  consumer: string,
  messageId: string,
): Promise<boolean> {
  const rows = await db
    .select({ messageId: tables.inbox.messageId })
    .from(tables.inbox)
    .where(and(eq(tables.inbox.consumer, consumer), eq(tables.inbox.messageId, messageId)))
    .limit(1);
  return rows.length === 1;
}
