import type { LoadVersionReply } from '@millrace/contracts';
import type { MetricsSnapshot } from '@millrace/service-kit';
import type { BatchCalls } from '../batch/batch.service.ts';
import type { ChunkOrder, ChunkReport } from '../batch/chunk/chunk-order.ts';
import type { ProbeReply } from '../engine/probe.ts';
import type { GraphFile } from '../engine/runtime-session.ts';
import type { Addresses } from '../front.ts';
import type { ServingView } from '../models/serving-report.ts';
import type { Remembered } from '../models/version-resolver.ts';
import type { IndexEntry, ModelConfig, ModelStatistics } from '../server/server-control.ts';

/** A version as a client names it. */
export type Target = { name?: string; version?: string };

/** What both sides can be asked about the server: the supervisor for all, a front for itself. */
export type ServerCalls = {
  index: { params: null; result: IndexEntry[] };
  loadByName: { params: Target; result: null };
  unloadByName: { params: Target; result: null };
  statistics: { params: Target; result: ModelStatistics[] };
  config: { params: Target; result: ModelConfig };
  view: { params: null; result: ServingView };
  unload: { params: { modelVersionId: string }; result: boolean };
  /** The version that a name stood for when the registry was last there; null when nobody knows. */
  recall: { params: Target; result: Remembered | null };
};

/** What a front asks the supervisor. */
export type SupervisorCalls = ServerCalls &
  BatchCalls & {
    /** Path of a file of the node cache, fetched when it is missing. */
    fetch: { params: { sha256: string }; result: string };
    discard: { params: { sha256: string }; result: null };
    probe: { params: GraphFile; result: ProbeReply };
    metricsText: { params: null; result: string };
  };

/** What the supervisor asks a front. */
export type FrontCalls = ServerCalls & {
  load: { params: { modelVersionId: string }; result: LoadVersionReply };
  runChunk: { params: ChunkOrder; result: ChunkReport };
  metrics: { params: null; result: MetricsSnapshot };
  /** Opens the shared port; `faults` says what of the configuration is in the way. */
  listen: { params: null; result: Addresses | { faults: string[] } };
  /** All of the service is there; a front answers before, but is not ready. */
  started: { params: null; result: null };
  close: { params: null; result: null };
};

/** Time for what processes remember; a request waits for it (ms). */
export const RECALL_TIMEOUT_MS = 500;
/** Time for answers that need no model (ms). */
export const ANSWER_TIMEOUT_MS = 10_000;
/** Time for fetching, measuring and loading a model, with everything that may be in front of it (ms). */
export const LOAD_TIMEOUT_MS = 180_000;
/** Time for one chunk of a batch job, which waits behind every request (ms). */
export const CHUNK_TIMEOUT_MS = 30 * 60_000;
