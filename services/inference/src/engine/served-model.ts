import { setImmediate } from 'node:timers/promises';
import type { ResolvedVersion } from '@millrace/contracts';
import type { ModelSignature } from '../tensors/tensor.ts';
import { hasBatchAxis } from '../tensors/tensor.ts';
import type { Measurement } from './host-protocol.ts';
import type { HostBounds } from './hosted-runner.ts';
import { createHostedRunner } from './hosted-runner.ts';
import { createInlineRunner } from './inline-runner.ts';
import type { Probe, ProbeReply } from './probe.ts';
import { probeInHost } from './probe.ts';
import type { QueueLimits, RequestQueue } from './request-queue.ts';
import { createRequestQueue } from './request-queue.ts';
import type { Runner } from './runner.ts';
import type { GraphFile } from './runtime-session.ts';
import { openSession } from './runtime-session.ts';
import type { SpareHosts } from './spare-host.ts';

/** A run of several rows inline may take about this many times the bound of a single row. */
const INLINE_BATCH_FACTOR = 7;

export type EngineOptions = {
  readonly spares: SpareHosts;
  readonly bounds: HostBounds;
  readonly limits: QueueLimits;
  /** Processes that share the work and the bounds. */
  readonly fronts: number;
  /** Model hosts of a slow model in this process, and threads of each. */
  readonly hostsPerModel: number;
  readonly threadsPerHost: number;
  /** False puts every model into a host. */
  readonly isInlineAllowed: boolean;
  /** A model that takes longer for a row runs in a host, so that it never holds up the event loop (ms). */
  readonly inlineRunMsMax: number;
  /** Rows of the largest request. */
  readonly requestRowsMax: number;
  /** Where figures of a graph come from; without it this process loads it into a spare host itself. */
  readonly probe?: (graph: GraphFile) => Promise<ProbeReply>;
  log(message: string, fields: Record<string, unknown>): void;
};

/** What an ensemble is made of. */
export type EnsembleParts = {
  /** `model` is the name of a model with the ordinal of its version, or `builtin:<kind>` with -1. */
  readonly steps: readonly {
    readonly model: string;
    readonly version: number;
    readonly inputs: Readonly<Record<string, string>>;
    readonly outputs: Readonly<Record<string, string>>;
  }[];
  /** The versions that it runs, each once. */
  readonly members: readonly { readonly version: ResolvedVersion; readonly served: ServedModel }[];
};

/** A model that answers: its signature, queue and what was measured about it. */
export type ServedModel = {
  readonly signature: ModelSignature;
  readonly queue: RequestQueue;
  readonly runner: Runner;
  readonly measurement: Measurement;
  readonly placementReason: string;
  readonly loadMs: number;
  readonly ensemble?: EnsembleParts;
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
  isUnbounded: boolean,
  measured: Measurement,
  { inlineRunMsMax: rowMsMax, requestRowsMax: rowsMax }: EngineOptions,
): { isFast: boolean; reason: string } {
  const row = `a row takes ${measured.rowMs.toFixed(3)} ms`;
  if (measured.rowMs > rowMsMax) return { isFast: false, reason: `${row}, over ${rowMsMax} ms` };
  if (isUnbounded) {
    const reason = 'the graph has loops or sizes in its values, so time and memory of a run depend on them';
    return { isFast: false, reason };
  }
  const largestMs = ((measured.batchMs ?? Infinity) / measured.batchRows) * rowsMax;
  if (hasBatchAxis(signature) && measured.rowsJoinedMax < 2 && largestMs > rowMsMax * INLINE_BATCH_FACTOR) {
    const reason = `a run of joined rows answers otherwise, so one of ${rowsMax} rows cannot be cut into pieces`;
    return { isFast: false, reason };
  }
  if (!hasBoundedRows(signature)) return { isFast: false, reason: 'the size of a row is not fixed' };
  return { isFast: true, reason: `${row}, at most ${rowMsMax} ms` };
}

/** Rows of one inline run: as many as were compared and take about the time that a run may hold up the loop. */
function inlineRows(measured: Measurement, rowMsMax: number): number {
  const joinedRowMs =
    (measured.batchMs ?? measured.rowMs) / (measured.batchMs === null ? 1 : measured.batchRows);
  const affordable = Math.floor((rowMsMax * INLINE_BATCH_FACTOR) / Math.max(joinedRowMs, 1e-4));
  return Math.max(1, Math.min(measured.rowsJoinedMax, affordable));
}

async function place(
  probe: Probe,
  graph: GraphFile,
  options: EngineOptions,
): Promise<{ runner: Runner; reason: string }> {
  const { host, measurement, residentBytes } = probe;
  const { isFast, reason } =
    graph.weights === undefined
      ? inlineReason(probe.signature, probe.isUnbounded, measurement, options)
      : { isFast: false, reason: 'TensorFlow.js is in memory in model hosts only' };
  if (isFast && options.isInlineAllowed) {
    const session = await openSession(graph, { threads: 1, outputBytesMax: options.bounds.outputBytesMax });
    if (host !== undefined) {
      await host.unload(options.bounds.loadMs);
      options.spares.giveBack(host);
    }
    // rows that see each other stay together
    const isDivisible = hasBatchAxis(probe.signature) && measurement.rowsJoinedMax > 1;
    const rowsMax = isDivisible ? inlineRows(measurement, options.inlineRunMsMax) : undefined;
    return { runner: createInlineRunner(session, residentBytes, rowsMax), reason };
  }
  const runner = await createHostedRunner({
    ...(host !== undefined && { first: host }),
    graph,
    hosts: options.hostsPerModel,
    threads: options.threadsPerHost,
    bounds: options.bounds,
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
  const probe: Probe = await (options.probe?.(graph) ?? probeInHost(graph, options));
  try {
    const { runner, reason } = await place(probe, graph, options);
    const { signature, measurement } = probe;
    const joinedRowsMax = Math.min(options.limits.joinedRowsMax, measurement.rowsJoinedMax);
    const queue = createRequestQueue(runner, measurement.isBatched, { ...options.limits, joinedRowsMax });
    return {
      signature,
      queue,
      runner,
      measurement,
      placementReason: reason,
      loadMs: performance.now() - start,
      async close() {
        // requests of this turn of the loop that found the model before it was taken out still get their answers
        await setImmediate();
        await queue.drain();
        await runner.close();
      },
    };
  } catch (error) {
    probe.host?.kill();
    throw error;
  }
}
