import type { DriftReport } from './drift.service.ts';

/** Drifted windows in a row that raise an alarm: one alone may be chance or an outage. */
export const RAISE_AFTER = 2;
/** Stable windows in a row that clear it. */
export const CLEAR_AFTER = 3;
/** Windows after an alarm was cleared in which none is raised again. */
export const COOL_DOWN_WINDOWS = 6;

/** What an alarm remembers of the windows before. */
export type AlarmState = {
  readonly isRaised: boolean;
  /** Drifted, and stable windows in a row. */
  readonly drifted: number;
  readonly stable: number;
  /** Windows left in which no alarm is raised. */
  readonly quiet: number;
};

export const CLEAR: AlarmState = { isRaised: false, drifted: 0, stable: 0, quiet: 0 };

/** The state after one more window; a window that decides nothing leaves it as it is. */
export function afterWindow(state: AlarmState, status: DriftReport['status']): AlarmState {
  if (status !== 'drifted' && status !== 'stable') return state;
  const drifted = status === 'drifted' ? state.drifted + 1 : 0;
  const stable = status === 'stable' ? state.stable + 1 : 0;
  const quiet = Math.max(0, state.quiet - 1);
  if (!state.isRaised && drifted >= RAISE_AFTER && quiet === 0)
    return { isRaised: true, drifted, stable, quiet };
  if (state.isRaised && stable >= CLEAR_AFTER)
    return { isRaised: false, drifted, stable, quiet: COOL_DOWN_WINDOWS };
  return { isRaised: state.isRaised, drifted, stable, quiet };
}
