import type { InferenceConfig } from '../config.ts';
import { usableCores } from './cpu-count.ts';
import type { EngineOptions } from './served-model.ts';
import { createSpareHosts } from './spare-host.ts';

/** More processes of one model only cost memory on machines of the usual size. */
const HOSTS_DEFAULT_MAX = 4;
/** Rows that are joined into one run: more gains nothing in the measurements. */
const JOINED_ROWS_MAX = 64;

type Log = EngineOptions['log'];

/** Processes of a slow model: half of the cores run it, the others read requests. */
export function hostsFor(configured: number, cores: number): number {
  return configured > 0 ? configured : Math.min(HOSTS_DEFAULT_MAX, Math.max(1, Math.floor(cores / 2)));
}

/** The engine's settings from the configuration and the machine. */
export function startEngine(config: InferenceConfig, log: Log): EngineOptions {
  return {
    spares: createSpareHosts(config.loadTimeoutMs),
    timeouts: { loadMs: config.loadTimeoutMs, runMs: config.runTimeoutMs },
    limits: {
      requestsMax: config.queueRequestsMax,
      bytesMax: config.queueBytesMax,
      joinedRowsMax: JOINED_ROWS_MAX,
    },
    hostsPerModel: hostsFor(config.hostsPerModel, usableCores()),
    threadsPerHost: config.threadsPerHost,
    isInlineAllowed: true,
    log,
  };
}
