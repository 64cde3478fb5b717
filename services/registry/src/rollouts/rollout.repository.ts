import type { BucketRange, RolloutSpec } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, asc, eq, gt, isNotNull, sql } from 'drizzle-orm';
import type { ModelTables } from '../models/model.table.ts';
import type { Rollback, RolloutRow, RolloutTable } from './rollout.table.ts';

export type RolloutRepository = ReturnType<typeof createRolloutRepository>;

/** Reads and writes of rollouts. */
export function createRolloutRepository({
  models,
  rollouts,
}: Pick<ModelTables, 'models'> & { rollouts: RolloutTable }) {
  return {
    /** The rollout in force. */
    async find(db: Executor, modelId: string): Promise<RolloutRow | undefined> {
      const [row] = await db
        .select()
        .from(rollouts)
        .where(and(eq(rollouts.modelId, modelId), isNotNull(rollouts.spec)));
      return row as RolloutRow | undefined;
    },

    /** Rollouts in force with the names of their models, in the order of those. */
    async list(
      db: Executor,
      tenant: string,
      options: { limit: number; afterName?: string },
    ): Promise<{ model: string; rollout: RolloutRow }[]> {
      const rows = await db
        .select({ model: models.name, rollout: rollouts })
        .from(rollouts)
        .innerJoin(models, eq(models.id, rollouts.modelId))
        .where(
          and(
            eq(models.tenant, tenant),
            isNotNull(rollouts.spec),
            options.afterName === undefined ? undefined : gt(models.name, options.afterName),
          ),
        )
        .orderBy(asc(models.name))
        .limit(options.limit);
      return rows as { model: string; rollout: RolloutRow }[];
    },

    /** Writes the next revision; the caller holds the lock of the model's row. */
    async put(
      tx: Executor,
      modelId: string,
      values: {
        spec: RolloutSpec | null;
        buckets: readonly BucketRange[] | null;
        rolledBack: Rollback | null;
        updatedBy: string;
      },
    ): Promise<RolloutRow> {
      const [row] = await tx
        .insert(rollouts)
        .values({ modelId, revision: 1, ...values })
        .onConflictDoUpdate({
          target: rollouts.modelId,
          set: { ...values, revision: sql`${rollouts.revision} + 1`, updatedAt: sql`now()` },
        })
        .returning();
      return row as RolloutRow;
    },
  };
}
