import { isLongRun } from './long-run.ts';

/** `npm test` runs on shared machines, where seconds may pass in which a process gets no time at all. */
const PATIENCE = 20;

/**
 * The bound (ms) for something that is promised within `promisedMs`: `npm run verify:full` holds it to the promise,
 * `npm test` only tells it from what hangs.
 */
export const promisedTime = (promisedMs: number): number => (isLongRun ? promisedMs : promisedMs * PATIENCE);
