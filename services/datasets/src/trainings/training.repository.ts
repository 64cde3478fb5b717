import type { Executor } from '@millrace/database';
import { desc, eq, sql } from 'drizzle-orm';
import type { TrainingState, TrainingTable } from './training.table.ts';

/** Reads and writes of the lineage from versions to trainings. */
export function createTrainingRepository(trainings: TrainingTable) {
  return {
    /** Facts may come out of order: what has ended stays ended. */
    record: (tx: Executor, row: { jobId: string; versionId: string; recipe: string; state: TrainingState }) =>
      tx
        .insert(trainings)
        .values(row)
        .onConflictDoUpdate({
          target: trainings.jobId,
          set: { state: row.state },
          setWhere: sql`${trainings.state} = 'running'`,
        }),

    of: (db: Executor, versionId: string, limit: number) =>
      db
        .select()
        .from(trainings)
        .where(eq(trainings.versionId, versionId))
        .orderBy(desc(trainings.createdAt), desc(trainings.jobId))
        .limit(limit),
  };
}

export type TrainingRepository = ReturnType<typeof createTrainingRepository>;
