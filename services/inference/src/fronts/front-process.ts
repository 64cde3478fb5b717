import type { Worker } from 'node:cluster';
import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { frontsFor, usableCores } from '../engine/cpu-count.ts';

const FRONT_MAIN = fileURLToPath(new URL('./front-main.ts', import.meta.url));
/**
 * Young space of a front (MB). With 1 a quarter of a small request is garbage collection, with V8's usual 16 whole bodies
 * leave the processor's cache: 8 instead of 1 took an MLP in binary from 125 to 96 µs and the 1.6 MB bodies of a CNN from
 * 6.1 to 6.5 ms.
 */
const FRONT_FLAGS = ['--no-warnings', '--max-semi-space-size=8'];
/**
 * What the allocator does with freed memory. By itself it keeps an arena for each thread of the runtime and of the
 * collector, and after the first freed piece of a megabyte takes all such from its heap, which only shrinks from its end:
 * pieces of a pool that was given back would stay. From 1 MiB on each has pages of its own; the tensors inside a run are
 * smaller and come from the heap, which is cut when 16 MiB at its end are free.
 */
const FRONT_ENVIRONMENT = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: String(2 ** 20),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 24),
};

/** A front's process; nothing that it says before somebody listens is lost. */
export type FrontProcess = {
  readonly worker: Worker;
  /** How the process ended: `with code 1`, `by SIGKILL`. */
  readonly exited: Promise<string>;
  /** To be called once. */
  listen(listener: (message: unknown) => void): void;
};

/** Starts the process of a front. */
export function forkFront(): FrontProcess {
  cluster.setupPrimary({ exec: FRONT_MAIN, execArgv: FRONT_FLAGS, args: [] });
  const worker = cluster.fork(FRONT_ENVIRONMENT);
  const early: unknown[] = [];
  const keep = (message: unknown): void => void early.push(message);
  worker.on('message', keep);
  // a message to a front that was just killed fails before its exit is known; the exit then ends what waits for it
  worker.on('error', () => undefined);
  const exited = new Promise<string>((resolve) => {
    worker.once('exit', (code, signal) => resolve(signal ? `by ${signal}` : `with code ${code}`));
  });
  return {
    worker,
    exited,
    listen(listener) {
      worker.off('message', keep);
      worker.on('message', listener);
      for (const message of early.splice(0)) listener(message);
    },
  };
}

/**
 * Starts the first front before this process has read its own code, which takes as long as the front's start. None where
 * there is to be one process, or where the variable is no number, of which the configuration tells.
 */
export function forkFirstFront(configuredFronts: string | undefined): FrontProcess | undefined {
  const fronts = frontsFor(Number(configuredFronts ?? 0), usableCores());
  return fronts > 1 ? forkFront() : undefined;
}
