import type { Executor } from '@millrace/database';
import type { PoolClient } from 'pg';
import { versionStages } from '../schema.ts';

/** The stage of predictions from before the registry told of one. */
export const STAGE_UNKNOWN = 'unknown';

/** Since when a version is at a stage (ms since 1970). */
export type StageSince = { readonly since: number; readonly stage: string };

/** Keeps that a version is at a stage since a time; the same again changes nothing. */
export async function recordStage(
  tx: Executor,
  change: { modelVersionId: string; since: Date; stage: string },
): Promise<void> {
  await tx
    .insert(versionStages)
    .values(change)
    .onConflictDoUpdate({
      target: [versionStages.modelVersionId, versionStages.since],
      set: { stage: change.stage },
    });
}

/** The stages of a version, the latest first. */
export async function stagesOf(client: PoolClient, modelVersionId: string): Promise<StageSince[]> {
  const { rows } = await client.query<StageSince>(
    `select extract(epoch from since)::float8 * 1000 as since, stage
     from monitoring.version_stages where model_version_id = $1 order by since desc`,
    [modelVersionId],
  );
  return rows;
}

/** The stage a version was at; unknown before the first that was told. */
export function stageAt(stages: readonly StageSince[], at: number): string {
  return stages.find(({ since }) => since <= at)?.stage ?? STAGE_UNKNOWN;
}
