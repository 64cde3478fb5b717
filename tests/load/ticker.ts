// A thread that sleeps until each request is due and says so: libuv's timers know only whole milliseconds.
import { isMainThread, parentPort, workerData } from 'node:worker_threads';

/** Monotonic time in µs, the same in every thread. */
export function nowUs(): number {
  return Number(process.hrtime.bigint()) / 1000;
}

if (!isMainThread) {
  const { intervalUs, total } = workerData as { intervalUs: number; total: number };
  const never = new Int32Array(new SharedArrayBuffer(4));
  const startUs = nowUs() + intervalUs;
  parentPort?.postMessage({ startUs });
  for (let index = 0; index < total; index += 1) {
    const waitMs = (startUs + index * intervalUs - nowUs()) / 1000;
    if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
    parentPort?.postMessage(null);
  }
}
