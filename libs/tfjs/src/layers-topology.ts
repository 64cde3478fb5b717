import { AppError } from '@millrace/contracts';
import type { Topology } from './graph-topology.ts';
import type { JsonObject } from './json.ts';
import { asList, asObject, asText, invalidModel, isObject, quote } from './json.ts';
import type { TfjsLimits } from './limits.ts';
import { layerClasses } from './supported.ts';
import type { TfjsTensor } from './tensor-spec.ts';
import { dtypeOf, uniqueNames } from './tensor-spec.ts';
import { assertCount } from './weights.ts';

const MODELS: ReadonlySet<string> = new Set(['Sequential', 'Functional', 'Model']);

/** The model inside modelTopology, which converters wrap and TF.js does not. */
function modelOf(topology: JsonObject): JsonObject {
  const inner = topology.model_config ?? topology;
  return asObject(typeof inner === 'string' ? safeParse(inner) : inner, 'modelTopology');
}

function safeParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidModel('model_config is not valid JSON.');
  }
}

/** Every class that the topology names, wherever it is. */
function classesIn(root: unknown, limits: TfjsLimits): Set<string> {
  const classes = new Set<string>();
  const open: unknown[] = [root];
  let count = 0;
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== 'object' || value === null) continue;
    if (!Array.isArray(value) && typeof (value as JsonObject).class_name === 'string') {
      classes.add((value as JsonObject).class_name as string);
      count += 1;
    }
    for (const inner of Object.values(value)) open.push(inner);
  }
  assertCount(count, limits.nodesMax, 'layers');
  return classes;
}

function assertKnown(classes: ReadonlySet<string>): void {
  const unknown = [...classes].filter((name) => !layerClasses.has(name)).sort();
  if (unknown.length === 0) return;
  throw new AppError(
    'unsupported_layer',
    `The model has layers that TensorFlow.js does not have: ${unknown.slice(0, 8).map(quote).join(', ')}.`,
  );
}

function layersOf(config: unknown): JsonObject[] {
  const list = Array.isArray(config) ? config : asObject(config, 'The config of the model').layers;
  const layers = asList(list, 'The layers of the model').map((one) => asObject(one, 'A layer'));
  if (layers.length === 0) throw invalidModel('The model has no layers.');
  return layers;
}

const configOf = (layer: JsonObject): JsonObject => asObject(layer.config ?? {}, 'The config of a layer');

function nameOf(layer: JsonObject): string {
  return asText(layer.name ?? configOf(layer).name, 'The name of a layer');
}

function inputOf(layer: JsonObject, name: string): TfjsTensor {
  const config = configOf(layer);
  const sizes = config.batch_input_shape ?? config.batchInputShape ?? config.batch_shape;
  const shape = Array.isArray(sizes)
    ? sizes.map((size: unknown) => {
        if (size === null) return null;
        if (Number.isSafeInteger(size) && (size as number) >= 0) return size as number;
        throw invalidModel(`The shape of input ${quote(name)} has a size that is no number.`);
      })
    : undefined;
  const dtype = typeof config.dtype === 'string' ? config.dtype : 'float32';
  return { name, ref: name, dtype: dtypeOf(dtype, name, 'unsupported_input'), shape };
}

const outputOf = (name: string): TfjsTensor => ({ name, ref: name, dtype: undefined, shape: undefined });

function sequential(config: unknown): Pick<Topology, 'inputs' | 'outputs'> {
  const layers = layersOf(config);
  const [first] = layers as [JsonObject];
  const last = layers.at(-1) as JsonObject;
  const isNested = MODELS.has(String(first.class_name));
  // the runtime names the input of a first layer that is none itself
  const name = first.class_name === 'InputLayer' ? nameOf(first) : `${nameOf(first)}_input`;
  const inputs = isNested ? ends(first).inputs : [inputOf(first, name)];
  const outputs = MODELS.has(String(last.class_name)) ? ends(last).outputs : [outputOf(nameOf(last))];
  return { inputs, outputs };
}

/** Names of `input_layers` and `output_layers`: `["name", 0, 0]`, alone or in a list. */
function endNames(value: unknown, what: string): string[] {
  const list = asList(value, what);
  const entries = typeof list[0] === 'string' ? [list] : list;
  return entries.map((entry) => asText(asList(entry, what)[0], what));
}

function functional(config: unknown): Pick<Topology, 'inputs' | 'outputs'> {
  const settings = asObject(config, 'The config of the model');
  const byName = new Map(layersOf(settings).map((layer) => [nameOf(layer), layer]));
  const inputs = endNames(settings.input_layers, 'input_layers').map((name) => {
    const layer = byName.get(name);
    if (layer === undefined)
      throw invalidModel(`input_layers names ${quote(name)}, which the model has not.`);
    return inputOf(layer, name);
  });
  const names = endNames(settings.output_layers, 'output_layers');
  const foreign = names.find((name) => !byName.has(name));
  if (foreign !== undefined)
    throw invalidModel(`output_layers names ${quote(foreign)}, which the model has not.`);
  return {
    inputs,
    outputs: uniqueNames(names).map((name, i) => ({ ...outputOf(name), ref: names[i] as string })),
  };
}

function ends(model: JsonObject): Pick<Topology, 'inputs' | 'outputs'> {
  const kind = asText(model.class_name, 'The class of the model');
  if (!MODELS.has(kind)) throw invalidModel(`${quote(kind)} is not a kind of model.`);
  return kind === 'Sequential' ? sequential(model.config) : functional(model.config);
}

/**
 * Reads the topology of a layers model: what it takes and gives, and its classes.
 * @throws AppError `invalid_model`, `model_too_complex`, `unsupported_layer`, `unsupported_input`
 */
export function readLayers(model: JsonObject, limits: TfjsLimits): Topology {
  const inner = modelOf(asObject(model.modelTopology, 'modelTopology'));
  const operators = classesIn(inner, limits);
  assertKnown(operators);
  return { ...ends(inner), operators };
}

/** Whether modelTopology is one of layers; older writers do not say. */
export function hasLayers(topology: unknown): boolean {
  return isObject(topology) && (topology.model_config !== undefined || topology.class_name !== undefined);
}
