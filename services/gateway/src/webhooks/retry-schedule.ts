const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Time before each further attempt; the last one is repeated. */
const DELAYS_MS = [
  5_000,
  30_000,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  30 * MINUTE_MS,
  HOUR_MS,
  2 * HOUR_MS,
  4 * HOUR_MS,
  8 * HOUR_MS,
];
/** Attempts of one delivery: about 32 hours. */
export const ATTEMPTS_MAX = 12;
/** A webhook to which nothing went through for this long is disabled. */
export const FAILING_MAX_MS = 3 * 24 * HOUR_MS;
/** Answers that say that the receiver is away or busy as a whole, not that it dislikes this event. */
const AWAY = new Set([408, 429, 502, 503, 504]);

/** Time until the attempt after the `attempts`-th (ms), spread by a fifth so that receivers are not met by a wave. */
export function retryDelayMs(attempts: number, random: () => number = Math.random): number {
  const delay = DELAYS_MS[Math.min(attempts, DELAYS_MS.length) - 1] ?? HOUR_MS;
  return Math.round(delay * (0.8 + random() * 0.4));
}

/** What to do after an attempt. `hold`: everything of the webhook waits, in order, until the receiver is back. */
export type Verdict = 'delivered' | 'retry' | 'hold' | 'gone';

export function verdictOf({ status, error }: { status: number | null; error: string | null }): Verdict {
  if (status === null || error !== null) return 'hold';
  if (status >= 200 && status < 300) return 'delivered';
  if (status === 410) return 'gone';
  return AWAY.has(status) ? 'hold' : 'retry';
}
