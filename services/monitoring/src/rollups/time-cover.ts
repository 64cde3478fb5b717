const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Widths of roll-ups (ms), the widest first. */
export const ROLLUP_WIDTHS_MS = [DAY_MS, HOUR_MS, MINUTE_MS] as const;

/** A part of a range of time, end exclusive (ms since 1970): whole roll-ups of a width, or predictions (width 0). */
export type Segment = { readonly widthMs: number; readonly from: number; readonly to: number };

/** What of a range can be answered, and whether that is the range itself. */
export type Cover = {
  readonly from: number;
  readonly to: number;
  readonly isExact: boolean;
  readonly segments: readonly Segment[];
};

/** How long each is kept (days). */
export type RetentionDays = {
  readonly predictions: number;
  readonly minutes: number;
  readonly hours: number;
  readonly days: number;
};

/** The first instant that is kept whole for so many days: midnight (UTC) of the oldest day. */
export function keptSince(nowMs: number, days: number): number {
  return Math.floor((nowMs - days * DAY_MS) / DAY_MS) * DAY_MS;
}

/** The narrowest width at which an instant can still be told from its neighbours (ms); 0 is any instant. */
function finestAt(at: number, nowMs: number, days: RetentionDays): number {
  if (at < keptSince(nowMs, days.hours)) return DAY_MS;
  if (at < keptSince(nowMs, days.minutes)) return HOUR_MS;
  return at < keptSince(nowMs, days.predictions) ? MINUTE_MS : 0;
}

function cut(from: number, to: number, level: number): Segment[] {
  if (!(from < to)) return [];
  const widthMs = ROLLUP_WIDTHS_MS[level];
  if (widthMs === undefined) return [{ widthMs: 0, from, to }];
  const first = Math.ceil(from / widthMs) * widthMs;
  const last = Math.floor(to / widthMs) * widthMs;
  if (!(first < last)) return cut(from, to, level + 1);
  return [...cut(from, first, level + 1), { widthMs, from: first, to: last }, ...cut(last, to, level + 1)];
}

/**
 * Cuts the range [from, to) (ms since 1970, either may be infinite) into whole days, hours and minutes, and predictions
 * for what is left of a minute at both ends. An end that lies so far back that its predictions are gone is moved
 * outwards to the next bound that is still known.
 */
export function coverRange(from: number, to: number, nowMs: number, days: RetentionDays): Cover {
  const outwards = (at: number, round: (value: number) => number): number => {
    const widthMs = finestAt(at, nowMs, days);
    return widthMs === 0 || !Number.isFinite(at) ? at : round(at / widthMs) * widthMs;
  };
  const wideFrom = outwards(from, Math.floor);
  const wideTo = outwards(to, Math.ceil);
  return {
    from: wideFrom,
    to: wideTo,
    isExact: wideFrom === from && wideTo === to,
    segments: cut(wideFrom, wideTo, 0),
  };
}
