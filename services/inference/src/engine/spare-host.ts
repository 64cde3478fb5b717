import type { Host } from './host.ts';
import { residentBytesOf, startHost } from './host.ts';

/** A spare host that nobody needed for this long ends, to give its memory back (ms). */
const SPARE_IDLE_MS = 60_000;

/** A model's runs leave memory with the allocator; a host that grew by more is no spare (bytes). */
const GROWN_BYTES_MAX = 32 * 1024 * 1024;

/** Hosts without a model: loading takes one at once instead of waiting for a process to start. */
export type SpareHosts = {
  /** A host that is ready. Throws `model_crashed` or `deadline_exceeded`. */
  take(): Promise<Host>;
  /** Keeps a host whose model moved away; ends it when there is a spare already, or it kept too much of the model's memory. */
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
      const hasGrown = residentBytesOf(host.pid) > host.emptyBytes + GROWN_BYTES_MAX;
      if (isClosed || hasGrown || spare !== undefined) return host.kill();
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
