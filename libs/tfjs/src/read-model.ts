import { AppError } from '@millrace/contracts';
import type { Topology } from './graph-topology.ts';
import { readGraph } from './graph-topology.ts';
import type { JsonObject } from './json.ts';
import { asObject, depthOf, isObject, quote } from './json.ts';
import { hasLayers, readLayers } from './layers-topology.ts';
import type { TfjsLimits } from './limits.ts';
import { defaultTfjsLimits } from './limits.ts';
import type { WeightGroup } from './weights.ts';
import { readWeightGroups } from './weights.ts';

/** File of a TF.js model that holds its topology and names its weights. */
export const MODEL_JSON = 'model.json';

/** A TF.js model as its model.json tells it; nothing of it was run. */
export type TfjsModel = Topology & {
  readonly format: 'layers-model' | 'graph-model';
  /** The weight files in the order of their bytes. */
  readonly weights: readonly WeightGroup[];
  /** What the runtime is given, beside the weights. */
  readonly json: JsonObject;
};

function parse(bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new AppError('invalid_model', 'model.json is not valid JSON.', { cause });
  }
  return asObject(value, 'model.json');
}

function formatOf(model: JsonObject): TfjsModel['format'] {
  const { format, modelTopology } = model;
  if (format === 'layers-model' || format === 'graph-model') return format;
  if (format !== undefined && format !== null)
    throw new AppError('invalid_model', `model.json has the unknown format ${quote(format)}.`);
  if (hasLayers(modelTopology)) return 'layers-model';
  if (isObject(modelTopology) && modelTopology.node !== undefined) return 'graph-model';
  throw new AppError('invalid_model', 'model.json has neither the layers nor the graph of a TF.js model.');
}

/**
 * Reads and checks a model.json without running anything.
 * @throws AppError `model_too_large`, `model_too_complex`, `invalid_model`, `external_data_path`, `unsupported_operator`,
 * `unsupported_layer`, `unsupported_input`, `unsupported_output`
 */
export function readTfjsModel(bytes: Uint8Array, limits: TfjsLimits = defaultTfjsLimits): TfjsModel {
  if (bytes.length > limits.jsonBytesMax)
    throw new AppError(
      'model_too_large',
      `model.json has ${bytes.length} bytes; at most ${limits.jsonBytesMax} are read.`,
    );
  const json = parse(bytes);
  if (depthOf(json, limits.depthMax) > limits.depthMax)
    throw new AppError('model_too_complex', `model.json is nested deeper than ${limits.depthMax} levels.`);
  const format = formatOf(json);
  const weights = readWeightGroups(json.weightsManifest, limits);
  const topology = format === 'layers-model' ? readLayers(json, limits) : readGraph(json, limits);
  return { ...topology, format, weights, json };
}
