import type { InferenceConfig } from '../config.ts';
import { frontsFor, usableCores } from './cpu-count.ts';
import type { EngineOptions } from './served-model.ts';
import { createSpareHosts } from './spare-host.ts';

/** More processes of one model only cost memory on machines of the usual size. */
const HOSTS_DEFAULT_MAX = 4;
/** Rows that are joined into one run: more gains nothing in the measurements. */
const JOINED_ROWS_MAX = 64;

/**
 * A row alone is run as a pair where only that makes it the same as among others, up to this time (ms): far over what a
 * logistic regression takes, so that every process and every start decides alike.
 */
const PAIR_MS_MAX = 0.5;

type Log = EngineOptions['log'];

/** Processes of a slow model in each front: half of the cores run it, the others read requests. */
export function hostsFor(configured: number, cores: number, fronts: number): number {
  const all = configured > 0 ? configured : Math.min(HOSTS_DEFAULT_MAX, Math.floor(cores / 2));
  return Math.max(1, Math.floor(all / fronts));
}

/** The engine's settings from the configuration and the machine; each front has its share of the bounds. */
export function startEngine(config: InferenceConfig, log: Log): EngineOptions {
  const cores = usableCores();
  const fronts = frontsFor(config.fronts, cores);
  return {
    spares: createSpareHosts(config.loadTimeoutMs, config.hostMemoryBytesMax),
    bounds: {
      loadMs: config.loadTimeoutMs,
      runMs: config.runTimeoutMs,
      outputBytesMax: config.outputBytesMax,
      memoryBytesMax: config.hostMemoryBytesMax,
    },
    limits: {
      requestsMax: Math.ceil(config.queueRequestsMax / fronts),
      bytesMax: Math.ceil(config.queueBytesMax / fronts),
      joinedRowsMax: JOINED_ROWS_MAX,
    },
    fronts,
    hostsPerModel: hostsFor(config.hostsPerModel, cores, fronts),
    threadsPerHost: config.threadsPerHost,
    isInlineAllowed: true,
    inlineRunMsMax: config.inlineRunMsMax,
    joining: { ulpsMax: config.joinedUlpsMax, pairMsMax: PAIR_MS_MAX },
    log,
  };
}
