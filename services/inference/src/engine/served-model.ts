import { setImmediate } from 'node:timers/promises';
import type { ResolvedVersion } from '@millrace/contracts';
import type { ModelSignature } from '../tensors/tensor.ts';
import { hasBatchAxis } from '../tensors/tensor.ts';
import { createDividedRunner } from './divided-runner.ts';
import type { Host } from './host.ts';
import type { JoinLimits, Measurement } from './host-protocol.ts';
import type { HostBounds } from './hosted-runner.ts';
import { createHostedRunner } from './hosted-runner.ts';
import { createInlineRunner } from './inline-runner.ts';
import { pairedRunner, pairedSession } from './paired-rows.ts';
import type { Probe, ProbeReply } from './probe.ts';
import { probeInHost } from './probe.ts';
import type { QueueLimits, RequestQueue } from './request-queue.ts';
import { createRequestQueue } from './request-queue.ts';
import type { Runner } from './runner.ts';
import type { GraphFile, RuntimeSession } from './runtime-session.ts';
import { openSession } from './runtime-session.ts';
import type { SpareHosts } from './spare-host.ts';

/** A run of several rows inline may take about this many times the bound of a single row. */
const INLINE_BATCH_FACTOR = 7;
/** Runs that are begun in one turn of the loop, however short they are. */
const RUNS_MAX = 32;

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
  readonly joining: JoinLimits;
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
  rowMsMax: number,
): { isFast: boolean; reason: string } {
  const row = `a row takes ${measured.rowMs.toFixed(3)} ms`;
  if (measured.rowMs > rowMsMax) return { isFast: false, reason: `${row}, over ${rowMsMax} ms` };
  if (isUnbounded) {
    const reason = 'the graph has loops or sizes in its values, so time and memory of a run depend on them';
    return { isFast: false, reason };
  }
  if (!hasBoundedRows(signature)) return { isFast: false, reason: 'the size of a row is not fixed' };
  return { isFast: true, reason: `${row}, at most ${rowMsMax} ms` };
}

/** Time that a row takes among others (ms); that of a row alone where several failed. */
const joinedRowMs = ({ batchMs, batchRows, rowMs }: Measurement): number =>
  batchMs === null ? rowMs : batchMs / batchRows;

/** How many runs or rows of `eachMs` hold up the loop for as long as they may. */
const affordable = (eachMs: number, rowMsMax: number): number =>
  Math.max(1, Math.floor((rowMsMax * INLINE_BATCH_FACTOR) / Math.max(eachMs, 1e-4)));

/** A model that runs inline, whatever the size of a request. */
function placeInline(
  session: RuntimeSession,
  { signature, measurement, residentBytes }: Probe,
  rowMsMax: number,
  openHosts: () => Promise<Runner>,
): Runner {
  const rows = affordable(joinedRowMs(measurement), rowMsMax);
  const runsMax = measurement.isBatched ? 1 : Math.min(RUNS_MAX, affordable(measurement.rowMs, rowMsMax));
  if (!hasBatchAxis(signature)) return createInlineRunner(session, { residentBytes, runsMax });
  // rows that see each other stay together
  if (measurement.rowsJoinedMax < 2)
    return createDividedRunner(createInlineRunner(session, { residentBytes, runsMax }), rows, openHosts);
  const rowsMax = Math.min(measurement.rowsJoinedMax, rows);
  return createInlineRunner(session, { residentBytes, runsMax, rowsMax });
}

async function place(
  probe: Probe,
  graph: GraphFile,
  options: EngineOptions,
): Promise<{ runner: Runner; reason: string }> {
  const { host, measurement, residentBytes } = probe;
  const openHosts = async (hosts: number, first?: Host): Promise<Runner> => {
    const runner = await createHostedRunner({
      ...(first !== undefined && { first }),
      graph,
      hosts,
      threads: options.threadsPerHost,
      bounds: options.bounds,
      residentBytes,
      log: options.log,
    });
    return measurement.isPaired ? pairedRunner(runner) : runner;
  };
  const { isFast, reason } =
    graph.weights === undefined
      ? inlineReason(probe.signature, probe.isUnbounded, measurement, options.inlineRunMsMax)
      : { isFast: false, reason: 'TensorFlow.js is in memory in model hosts only' };
  if (isFast && options.isInlineAllowed) {
    const { outputBytesMax } = options.bounds;
    const opened = await openSession(graph, { threads: 1, outputBytesMax });
    const session = measurement.isPaired ? pairedSession(opened) : opened;
    if (host !== undefined) {
      await host.unload(options.bounds.loadMs);
      options.spares.giveBack(host);
    }
    return { runner: placeInline(session, probe, options.inlineRunMsMax, () => openHosts(1)), reason };
  }
  const runner = await openHosts(options.hostsPerModel, host);
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
