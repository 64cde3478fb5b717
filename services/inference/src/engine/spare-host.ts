import type { Host } from './host.ts';
import { startHost } from './host.ts';

/** A spare host that nobody needed for this long ends, to give its memory back (ms). */
const SPARE_IDLE_MS = 60_000;

/** Hosts without a model: loading takes one at once instead of waiting for a process to start. */
export type SpareHosts = {
  /** A host that is ready. Throws `model_crashed` or `deadline_exceeded`. */
  take(): Promise<Host>;
  /** Keeps a host whose model moved away, or ends it when there is a spare already. */
  giveBack(host: Host): void;
  close(): void;
};

/** At most one spare host is kept. */
export function createSpareHosts(startTimeoutMs: number, memoryBytesMax: number): SpareHosts {
  let spare: Host | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  return {
    async take() {
      const host = spare;
      spare = undefined;
      clearTimeout(timer);
      return host?.isAlive() === true ? host : startHost(startTimeoutMs, memoryBytesMax);
    },
    giveBack(host) {
      if (isClosed || spare !== undefined) return host.kill();
      spare = host;
      timer = setTimeout(() => {
        spare?.kill();
        spare = undefined;
      }, SPARE_IDLE_MS).unref();
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      spare?.kill();
    },
  };
}
