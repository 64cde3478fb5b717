import { setTimeout as delay } from 'node:timers/promises';

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_INTERVAL_MS = 25;
/** What is told from a hang gets several times as long as it takes: the machines that run tests are shared. */
const PATIENCE = 3;

/**
 * Calls `check` until it neither throws nor returns false, and returns its value; after three times `timeoutMs`, which is
 * what it takes on a machine of its own, throws what the last try threw.
 */
export async function eventually<T>(
  check: () => Promise<T> | T,
  options: { timeoutMs?: number; intervalMs?: number } = {},
): Promise<T> {
  const timeoutMs = (options.timeoutMs ?? DEFAULT_TIMEOUT_MS) * PATIENCE;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const outcome = await attempt(check);
    if ('value' in outcome && outcome.value !== false) return outcome.value;
    if (performance.now() >= deadline) {
      const reason = 'error' in outcome ? outcome.error : new Error('the check kept returning false');
      throw new Error(`not so within ${timeoutMs} ms: ${describe(reason)}`, { cause: reason });
    }
    await delay(options.intervalMs ?? DEFAULT_INTERVAL_MS);
  }
}

async function attempt<T>(check: () => Promise<T> | T): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await check() };
  } catch (error) {
    return { error };
  }
}

function describe(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}
