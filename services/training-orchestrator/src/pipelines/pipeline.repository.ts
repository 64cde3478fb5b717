import { behind, type Executor, type ListPlace, newestFirst } from '@millrace/database';
import { and, count, eq, sql } from 'drizzle-orm';
import type { PipelineRow, PipelineStage, PipelineState, PipelineTable } from './pipeline.table.ts';

/** Reads and writes of pipelines. */
export function createPipelineRepository(pipelines: PipelineTable) {
  return {
    async insert(tx: Executor, row: typeof pipelines.$inferInsert): Promise<PipelineRow | undefined> {
      return (await tx.insert(pipelines).values(row).onConflictDoNothing().returning())[0];
    },

    async countRunning(db: Executor, tenant: string): Promise<number> {
      const [row] = await db
        .select({ running: count() })
        .from(pipelines)
        .where(and(eq(pipelines.tenant, tenant), eq(pipelines.state, 'running')));
      return row?.running ?? 0;
    },

    async find(db: Executor, id: string): Promise<PipelineRow | undefined> {
      return (await db.select().from(pipelines).where(eq(pipelines.id, id)))[0];
    },

    async findByKey(db: Executor, tenant: string, key: string): Promise<PipelineRow | undefined> {
      const where = and(eq(pipelines.tenant, tenant), eq(pipelines.idempotencyKey, key));
      return (await db.select().from(pipelines).where(where))[0];
    },

    async findByTrainingJob(tx: Executor, jobId: string): Promise<PipelineRow | undefined> {
      return (await tx.select().from(pipelines).where(eq(pipelines.trainingJobId, jobId)).for('update'))[0];
    },

    /** A running pipeline in this stage, locked; undefined when it has moved on (a late or repeated event). */
    async lockAt(
      tx: Executor,
      id: string,
      stages: readonly PipelineStage[],
    ): Promise<PipelineRow | undefined> {
      const [row] = await tx.select().from(pipelines).where(eq(pipelines.id, id)).for('update');
      return row !== undefined && row.state === 'running' && stages.includes(row.stage) ? row : undefined;
    },

    /** Moves to the next stage and notes when the present one ended. */
    async advance(
      tx: Executor,
      row: PipelineRow,
      to: PipelineStage,
      change: Partial<typeof pipelines.$inferInsert> = {},
    ): Promise<PipelineRow> {
      const [next] = await tx
        .update(pipelines)
        .set({
          ...change,
          stage: to,
          times: { ...row.times, [row.stage]: new Date().toISOString() },
          ...(to === 'done' ? { state: 'succeeded' as const, finishedAt: sql`now()` } : {}),
        })
        .where(eq(pipelines.id, row.id))
        .returning();
      if (next === undefined) throw new Error('a locked pipeline vanished');
      return next;
    },

    async update(tx: Executor, id: string, change: Partial<typeof pipelines.$inferInsert>): Promise<void> {
      await tx.update(pipelines).set(change).where(eq(pipelines.id, id));
    },

    async end(
      tx: Executor,
      id: string,
      end: { state: Exclude<PipelineState, 'running' | 'succeeded'>; error: PipelineRow['error'] },
    ): Promise<PipelineRow | undefined> {
      const [row] = await tx
        .update(pipelines)
        .set({ ...end, finishedAt: sql`now()` })
        .where(and(eq(pipelines.id, id), eq(pipelines.state, 'running')))
        .returning();
      return row;
    },

    list: (
      db: Executor,
      tenant: string,
      options: { limit: number; state?: PipelineState; after?: ListPlace },
    ) =>
      db
        .select()
        .from(pipelines)
        .where(
          and(
            eq(pipelines.tenant, tenant),
            options.state === undefined ? undefined : eq(pipelines.state, options.state),
            behind(pipelines, options.after),
          ),
        )
        .orderBy(...newestFirst(pipelines))
        .limit(options.limit),
  };
}

export type PipelineRepository = ReturnType<typeof createPipelineRepository>;
