import type { Executor } from '@millrace/database';
import { sql } from 'drizzle-orm';
import type { AlarmState } from './alarm-state.ts';

/** The alarm of a version, and up to when its predictions were judged. */
export type DriftAlarm = AlarmState & {
  readonly tenant: string;
  readonly modelVersionId: string;
  readonly model: string;
  readonly version: string;
  readonly judgedUntil: Date;
};

/**
 * Takes an alarm whose next window ended before `endedBefore`, the longest waiting first, until the transaction ends;
 * those that another replica has taken are left out.
 */
export async function takeDueAlarm(
  tx: Executor,
  options: { endedBefore: Date; windowMs: number },
): Promise<DriftAlarm | undefined> {
  const startedBefore = new Date(options.endedBefore.getTime() - options.windowMs);
  const { rows } = await tx.execute(sql`
    select tenant, model_version_id as "modelVersionId", model, version, is_raised as "isRaised", drifted, stable, quiet,
           extract(epoch from judged_until)::float8 * 1000 as "judgedUntil"
    from monitoring.drift_alarms where judged_until <= ${startedBefore.toISOString()}
    order by judged_until limit 1 for update skip locked`);
  const [row] = rows as (Omit<DriftAlarm, 'judgedUntil'> & { judgedUntil: number })[];
  return row && { ...row, judgedUntil: new Date(Math.round(row.judgedUntil)) };
}

/** Keeps the state after a window that ended at `judgedUntil`. */
export async function keepAlarm(tx: Executor, alarm: DriftAlarm): Promise<void> {
  await tx.execute(sql`
    update monitoring.drift_alarms
    set is_raised = ${alarm.isRaised}, drifted = ${alarm.drifted}, stable = ${alarm.stable}, quiet = ${alarm.quiet},
        judged_until = ${alarm.judgedUntil.toISOString()}
    where tenant = ${alarm.tenant} and model_version_id = ${alarm.modelVersionId}`);
}
