import type { ModelSignature } from '../tensors/tensor.ts';
import type { Host } from './host.ts';
import type { Measurement } from './host-protocol.ts';
import type { HostTimeouts } from './hosted-runner.ts';
import { createHostedRunner } from './hosted-runner.ts';
import { createInlineRunner } from './inline-runner.ts';
import type { QueueLimits, RequestQueue } from './request-queue.ts';
import { createRequestQueue } from './request-queue.ts';
import type { Runner } from './runner.ts';
import type { GraphFile } from './runtime-session.ts';
import { openSession } from './runtime-session.ts';
import type { SpareHosts } from './spare-host.ts';

/** A model that takes longer for a row runs in a host, so that it never holds up the event loop (ms). */
const INLINE_ROW_MS_MAX = 0.15;
/** The same for the probe batch. */
const INLINE_BATCH_MS_MAX = 1;

export type EngineOptions = {
  readonly spares: SpareHosts;
  readonly timeouts: HostTimeouts;
  readonly limits: QueueLimits;
  /** Model hosts of a slow model, and threads of each. */
  readonly hostsPerModel: number;
  readonly threadsPerHost: number;
  /** False puts every model into a host. */
  readonly isInlineAllowed: boolean;
  log(message: string, fields: Record<string, unknown>): void;
};

/** A model that answers: its signature, queue and what was measured about it. */
export type ServedModel = {
  readonly signature: ModelSignature;
  readonly queue: RequestQueue;
  readonly runner: Runner;
  readonly measurement: Measurement;
  readonly placementReason: string;
  readonly loadMs: number;
  /** Lets the requests in hand finish, then frees the model. */
  close(): Promise<void>;
};

/** Free dimensions beside the rows make the time of a run unknown, so such a model is never run inline. */
function hasBoundedRows(signature: ModelSignature): boolean {
  return signature.inputs.every(
    (spec) => spec.dtype !== 'string' && spec.shape.every((size, axis) => size !== null || axis === 0),
  );
}

function inlineReason(
  signature: ModelSignature,
  hasLoops: boolean,
  measured: Measurement,
): { isFast: boolean; reason: string } {
  const row = `a row takes ${measured.rowMs.toFixed(3)} ms`;
  if (measured.rowMs > INLINE_ROW_MS_MAX)
    return { isFast: false, reason: `${row}, over ${INLINE_ROW_MS_MAX} ms` };
  if ((measured.batchMs ?? 0) > INLINE_BATCH_MS_MAX) {
    return {
      isFast: false,
      reason: `${measured.batchRows} rows take ${measured.batchMs?.toFixed(3)} ms, over ${INLINE_BATCH_MS_MAX} ms`,
    };
  }
  if (hasLoops)
    return { isFast: false, reason: 'the graph has loops, so the time of a run depends on the values' };
  if (!hasBoundedRows(signature)) return { isFast: false, reason: 'the size of a row is not fixed' };
  return { isFast: true, reason: `${row}, at most ${INLINE_ROW_MS_MAX} ms` };
}

async function place(
  host: Host,
  graph: GraphFile,
  options: EngineOptions,
  loaded: { signature: ModelSignature; hasLoops: boolean },
  measurement: Measurement,
): Promise<{ runner: Runner; reason: string }> {
  const { isFast, reason } = inlineReason(loaded.signature, loaded.hasLoops, measurement);
  const residentBytes = Math.max(0, measurement.residentBytes - host.emptyBytes);
  if (isFast && options.isInlineAllowed) {
    const session = await openSession(graph, { threads: 1 });
    await host.unload(options.timeouts.loadMs);
    options.spares.giveBack(host);
    return { runner: createInlineRunner(session, residentBytes), reason };
  }
  const runner = await createHostedRunner({
    first: host,
    graph,
    extraHosts: options.hostsPerModel - 1,
    threads: options.threadsPerHost,
    timeouts: options.timeouts,
    residentBytes,
    log: options.log,
  });
  return { runner, reason: isFast ? 'inline runs are switched off' : reason };
}

/**
 * Loads a graph, verified, into a model host, warms and measures it there, and places it: a fast model inline, any
 * other in hosts of its own. Nothing of an untried model runs in this process.
 * Throws `digest_mismatch`, `model_load_failed`, `unsupported_input`, `unsupported_output`, `model_crashed`,
 * `deadline_exceeded`, or `inference_failed` when the warm-up fails.
 */
export async function openModel(graph: GraphFile, options: EngineOptions): Promise<ServedModel> {
  const start = performance.now();
  const host = await options.spares.take();
  try {
    const loaded = await host.load(graph, options.threadsPerHost, options.timeouts.loadMs);
    const measurement = await host.measure(options.timeouts.loadMs);
    const { runner, reason } = await place(host, graph, options, loaded, measurement);
    const queue = createRequestQueue(runner, measurement.isBatched, options.limits);
    return {
      signature: loaded.signature,
      queue,
      runner,
      measurement,
      placementReason: reason,
      loadMs: performance.now() - start,
      async close() {
        await queue.drain();
        await runner.close();
      },
    };
  } catch (error) {
    host.kill();
    throw error;
  }
}
