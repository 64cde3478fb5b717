/** How often a request that a busy platform refused is sent again, unless the client says otherwise. */
export const RETRIES_DEFAULT = 3;

/** First wait where the platform does not say how long; doubled each time (ms). */
const WAIT_MIN_MS = 200;
const WAIT_MAX_MS = 8_000;
/** Answers that say that the request was not done and may be sent again. */
const BUSY: ReadonlySet<number> = new Set([429, 503]);

/** Milliseconds that `Retry-After` asks for, in seconds or as a date. */
function askedWaitMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = Number(header);
  const ms = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : seconds * 1_000;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/**
 * How long to wait before the same request is sent again (ms); undefined when the answer is no reason to. Without
 * Retry-After the wait grows and is spread by up to a half, so that many clients do not come back in one moment.
 */
export function retryWaitMs(
  response: Pick<Response, 'status' | 'headers'>,
  retry: number,
): number | undefined {
  if (!BUSY.has(response.status)) return undefined;
  const asked = askedWaitMs(response.headers.get('retry-after'));
  const own = Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** retry) * (0.5 + Math.random() / 2);
  return asked ?? own;
}

/** Resolves after `ms`, or rejects with the reason of `signal`. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
