import { flushCompileCache } from 'node:module';

/** Code that ran by then is kept compiled; a process that was just started has better things to do (ms). */
const KEEP_AFTER_MS = 3_000;

/**
 * Has Node write what it compiled to its cache (`NODE_COMPILE_CACHE`), which it otherwise does when a process ends by
 * itself: fronts and model hosts are killed. Without it each of them strips and compiles every source anew.
 */
export function keepCompiledCode(): void {
  setTimeout(flushCompileCache, KEEP_AFTER_MS).unref();
}
