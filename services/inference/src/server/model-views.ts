import { MODEL_JSON } from '@millrace/tfjs';
import type { CacheTotals } from '../cache/cache-totals.ts';
import { createCacheTotals } from '../cache/cache-totals.ts';
import type { BatchTotals } from '../engine/run-statistics.ts';
import type { EnsembleParts } from '../engine/served-model.ts';
import type { LoadedModel } from '../models/model-store.ts';
import { servedNameOf } from '../models/served-name.ts';
import { protocolName } from '../tensors/dtype.ts';
import type { TensorSpec } from '../tensors/tensor.ts';
import { hasBatchAxis } from '../tensors/tensor.ts';
import type {
  BatchStatistics,
  ConfigTensor,
  DurationStatistics,
  EnsembleScheduling,
  ModelConfig,
  ModelStatistics,
} from './server-control.ts';

type Runtime = { readonly platform: string; readonly backend: string };
const ENSEMBLE: Runtime = { platform: 'ensemble', backend: '' };
const ONNX: Runtime = { platform: 'onnxruntime_onnx', backend: 'onnxruntime' };
const TFJS: Runtime = { platform: 'tensorflow_js', backend: 'tfjs' };

function runtimeOf({ version, served }: Pick<LoadedModel, 'version' | 'served'>): Runtime {
  if (served.ensemble !== undefined) return ENSEMBLE;
  return version.servingFile === MODEL_JSON ? TFJS : ONNX;
}

/** What metadata and configuration call what runs a version. */
export const platformOf = (model: Pick<LoadedModel, 'version' | 'served'>): string =>
  runtimeOf(model).platform;

const NS_PER_MS = 1_000_000;
/** Of versions whose answers are not kept. */
const NO_CACHE: Readonly<CacheTotals> = createCacheTotals();

function duration(count: number, ms: number): DurationStatistics {
  return { count, ns: Math.round(ms * NS_PER_MS) };
}

function batchView([rows, totals]: [number, BatchTotals]): BatchStatistics {
  return {
    batch_size: rows,
    compute_input: duration(totals.runs, totals.inputMs),
    compute_infer: duration(totals.runs, totals.computeMs),
    compute_output: duration(totals.runs, totals.outputMs),
  };
}

/** The statistics of a loaded version; answers of the cache count as success, and as no run. */
export function statisticsOf(
  { version, served }: LoadedModel,
  cache: Readonly<CacheTotals> = NO_CACHE,
): ModelStatistics {
  const totals = served.queue.totals();
  const { answered, failures } = totals;
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  return {
    name: servedNameOf(version),
    version: String(version.ordinal),
    last_inference: Math.max(totals.lastAnswerAt, cache.lastHitAt),
    inference_count: totals.rows + cache.hitRows,
    execution_count: totals.runs,
    inference_stats: {
      success: duration(answered + cache.hits, totals.answeredMs + cache.hitRequestMs),
      fail: duration(failed, totals.failedMs),
      queue: duration(answered, totals.queueMs),
      compute_input: duration(answered, totals.inputMs),
      compute_infer: duration(answered, totals.computeMs),
      compute_output: duration(answered, totals.outputMs),
      cache_hit: duration(cache.hits, cache.hitMs),
      cache_miss: duration(cache.misses, cache.missMs),
    },
    response_stats: {},
    batch_stats: [...totals.batches].sort(([a], [b]) => a - b).map(batchView),
    memory_usage: [{ type: 'CPU', id: 0, byte_size: Math.round(served.runner.residentBytes()) }],
  };
}

function schedulingOf({ steps }: EnsembleParts): EnsembleScheduling {
  return {
    step: steps.map(({ model, version, inputs, outputs }) => ({
      model_name: model,
      model_version: version,
      input_map: inputs,
      output_map: outputs,
    })),
  };
}

/** `rowsMax` is the bound of one request. */
export function configOf({ version, served }: LoadedModel, rowsMax: number): ModelConfig {
  const { signature, measurement, runner, ensemble } = served;
  const hasRows = hasBatchAxis(signature);
  const tensor = (spec: TensorSpec): ConfigTensor => {
    const dims = spec.shape.map((size) => size ?? -1);
    const name = protocolName(spec.dtype);
    return {
      name: spec.name,
      data_type: `TYPE_${name === 'BYTES' ? 'STRING' : name}`,
      dims: hasRows ? dims.slice(1) : dims,
    };
  };
  const parameters = {
    placement: { string_value: `${runner.placement}: ${served.placementReason}` },
    batching: { string_value: measurement.batchReason },
  };
  return {
    name: version.model,
    platform: platformOf({ version, served }),
    backend: runtimeOf({ version, served }).backend,
    version_policy: { specific: { versions: [version.ordinal] } },
    max_batch_size: hasRows ? rowsMax : 0,
    input: signature.inputs.map(tensor),
    output: signature.outputs.map(tensor),
    instance_group: [{ name: version.model, kind: 'KIND_CPU', count: Math.max(1, runner.pids().length) }],
    default_model_filename: version.servingFile,
    ...(ensemble !== undefined && { ensemble_scheduling: schedulingOf(ensemble) }),
    ...(measurement.isBatched &&
      ensemble === undefined && { dynamic_batching: { max_queue_delay_microseconds: 0 } }),
    parameters,
    model_transaction_policy: { decoupled: false },
  };
}
