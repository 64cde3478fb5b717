import type { BatchService } from '../batch/batch.service.ts';
import type { ServerFace } from '../front.ts';
import type { IndexEntry, ModelStatistics, ServerControl, VersionState } from '../server/server-control.ts';
import type { Target } from './calls.ts';
import { ANSWER_TIMEOUT_MS, LOAD_TIMEOUT_MS, type SupervisorCalls } from './calls.ts';
import type { Channel } from './channel.ts';

/** A name and perhaps a version, as a message between processes. */
export const targetOf = (name?: string, version?: string): Target => ({
  ...(name !== undefined && { name }),
  ...(version !== undefined && { version }),
});

/** Control and reports that ask the supervisor, which asks every front. */
export function createServerFace(supervisor: Channel<SupervisorCalls>): ServerFace {
  const control: ServerControl = {
    index: () => supervisor.call('index', null, ANSWER_TIMEOUT_MS),
    async load(name, version) {
      await supervisor.call('loadByName', targetOf(name, version), LOAD_TIMEOUT_MS);
    },
    async unload(name, version) {
      await supervisor.call('unloadByName', targetOf(name, version), LOAD_TIMEOUT_MS);
    },
    statistics: (name, version) => supervisor.call('statistics', targetOf(name, version), ANSWER_TIMEOUT_MS),
    config: (name, version) => supervisor.call('config', targetOf(name, version), LOAD_TIMEOUT_MS),
  };
  return {
    control,
    report: {
      view: () => supervisor.call('view', null, ANSWER_TIMEOUT_MS),
      unload: (modelVersionId) => supervisor.call('unload', { modelVersionId }, LOAD_TIMEOUT_MS),
    },
    metricsText: () => supervisor.call('metricsText', null, ANSWER_TIMEOUT_MS),
  };
}

/** Batch jobs as the supervisor keeps them. */
export function createBatchFace(supervisor: Channel<SupervisorCalls>): BatchService {
  return {
    batchCreate: (params) => supervisor.call('batchCreate', params, ANSWER_TIMEOUT_MS),
    batchList: (params) => supervisor.call('batchList', params, ANSWER_TIMEOUT_MS),
    batchGet: (params) => supervisor.call('batchGet', params, ANSWER_TIMEOUT_MS),
    batchCancel: (params) => supervisor.call('batchCancel', params, ANSWER_TIMEOUT_MS),
    batchResults: (params) => supervisor.call('batchResults', params, ANSWER_TIMEOUT_MS),
  };
}

/** The first of these that one process reports is the state for the server. */
const STATES: readonly VersionState[] = ['LOADING', 'UNLOADING', 'READY', 'UNAVAILABLE'];

/** A version is ready for the server when one process has it: the others load it with their first request. */
export function mergeIndexes(indexes: readonly IndexEntry[][]): IndexEntry[] {
  const merged = new Map<string, IndexEntry>();
  for (const entry of indexes.flat()) {
    const key = `${entry.name}\n${entry.version}`;
    const held = merged.get(key);
    if (held === undefined || STATES.indexOf(entry.state) < STATES.indexOf(held.state))
      merged.set(key, entry);
  }
  return [...merged.values()];
}

type Durations = ModelStatistics['inference_stats'];

function addDurations(a: Durations, b: Durations): Durations {
  const names = Object.keys(a) as (keyof Durations)[];
  return Object.fromEntries(
    names.map((name) => [name, { count: a[name].count + b[name].count, ns: a[name].ns + b[name].ns }]),
  ) as Durations;
}

function addBatches(parts: readonly ModelStatistics['batch_stats'][]): ModelStatistics['batch_stats'] {
  const bySize = new Map<number, ModelStatistics['batch_stats'][number]>();
  for (const batch of parts.flat()) {
    const held = bySize.get(batch.batch_size);
    const add = (name: 'compute_input' | 'compute_infer' | 'compute_output') => ({
      count: batch[name].count + (held?.[name].count ?? 0),
      ns: batch[name].ns + (held?.[name].ns ?? 0),
    });
    bySize.set(batch.batch_size, {
      batch_size: batch.batch_size,
      compute_input: add('compute_input'),
      compute_infer: add('compute_infer'),
      compute_output: add('compute_output'),
    });
  }
  return [...bySize.values()].sort((a, b) => a.batch_size - b.batch_size);
}

function addStatistics(a: ModelStatistics, b: ModelStatistics): ModelStatistics {
  const bytes = [a, b]
    .flatMap(({ memory_usage: usage }) => usage)
    .reduce((sum, one) => sum + one.byte_size, 0);
  return {
    ...a,
    last_inference: Math.max(a.last_inference, b.last_inference),
    inference_count: a.inference_count + b.inference_count,
    execution_count: a.execution_count + b.execution_count,
    inference_stats: addDurations(a.inference_stats, b.inference_stats),
    batch_stats: addBatches([a.batch_stats, b.batch_stats]),
    memory_usage: [{ type: 'CPU', id: 0, byte_size: bytes }],
  };
}

/** What every process counted of each version, added up. */
export function mergeStatistics(parts: readonly ModelStatistics[][]): ModelStatistics[] {
  const merged = new Map<string, ModelStatistics>();
  for (const one of parts.flat()) {
    const key = `${one.name}\n${one.version}`;
    const held = merged.get(key);
    merged.set(key, held === undefined ? one : addStatistics(held, one));
  }
  return [...merged.values()];
}
