import type { Executor } from '@millrace/database';
import { and, asc, eq, isNull, lt, or, sql } from 'drizzle-orm';
import type { Tags } from '../models/model.table.ts';
import type {
  ModelRegistrationRow,
  ModelRegistrationTable,
  RegistrationStatus,
} from './model-registration.table.ts';

export type ModelRegistrationRepository = ReturnType<typeof createModelRegistrationRepository>;

/** Reads and writes of versions that MLflow's clients asked for. */
export function createModelRegistrationRepository(table: ModelRegistrationTable) {
  return {
    insert: (tx: Executor, row: typeof table.$inferInsert) => tx.insert(table).values(row),

    async find(db: Executor, modelId: string, ordinal: number): Promise<ModelRegistrationRow | undefined> {
      const rows = await db
        .select()
        .from(table)
        .where(and(eq(table.modelId, modelId), eq(table.ordinal, ordinal)));
      return rows[0];
    },

    async lock(tx: Executor, id: string): Promise<ModelRegistrationRow | undefined> {
      const rows = await tx.select().from(table).where(eq(table.id, id)).for('update');
      return rows[0];
    },

    /** Takes the oldest that nobody works on, or this one; undefined when there is none. */
    async claim(db: Executor, leaseMs: number, id?: string): Promise<ModelRegistrationRow | undefined> {
      const isFree = or(isNull(table.claimedUntil), lt(table.claimedUntil, sql`now()`));
      const due = db
        .select({ id: table.id })
        .from(table)
        .where(
          and(
            eq(table.status, 'PENDING_REGISTRATION'),
            isFree,
            id === undefined ? undefined : eq(table.id, id),
          ),
        )
        .orderBy(asc(table.createdMs))
        .limit(1)
        .for('update', { skipLocked: true });
      const rows = await db
        .update(table)
        .set({
          claimedUntil: sql`now() + ${leaseMs} * interval '1 millisecond'`,
          attempts: sql`${table.attempts} + 1`,
        })
        .where(eq(table.id, sql`(${due})`))
        .returning();
      return rows[0];
    },

    renew: (db: Executor, id: string, leaseMs: number) =>
      db
        .update(table)
        .set({ claimedUntil: sql`now() + ${leaseMs} * interval '1 millisecond'` })
        .where(eq(table.id, id)),

    end: (
      db: Executor,
      id: string,
      to: { status: RegistrationStatus; statusMessage: string; modelVersionId?: string },
    ) =>
      db
        .update(table)
        .set({ ...to, updatedMs: Date.now(), claimedUntil: null })
        .where(eq(table.id, id)),

    setWords: (db: Executor, id: string, words: { description?: string; tags?: Tags }) =>
      db
        .update(table)
        .set({ ...words, updatedMs: Date.now() })
        .where(eq(table.id, id)),

    remove: (db: Executor, id: string) => db.delete(table).where(eq(table.id, id)),

    /** Takes away what never became a version, so that the model can go. */
    removeUnregistered: (db: Executor, modelId: string) =>
      db.delete(table).where(and(eq(table.modelId, modelId), isNull(table.modelVersionId))),
  };
}
