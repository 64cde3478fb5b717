import type { TfjsModel, TfjsTensor } from '@millrace/tfjs';
import { asynchronousOperators } from '@millrace/tfjs';
import type { GraphModel } from '@tensorflow/tfjs-converter';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import type { io, NamedTensorMap, Tensor as TfTensor } from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import type { Tensor } from '../../tensors/tensor.ts';
import { tfjsRuntime } from './runtime.ts';

/** A model in TensorFlow.js: what it says of itself, and runs that leave no tensor behind. */
export type LoadedTfjs = {
  /** Inputs and outputs; shape and type are undefined where only a run tells. */
  readonly inputs: readonly TfjsTensor[];
  readonly outputs: readonly TfjsTensor[];
  /** Inputs have one number of rows. */
  readonly hasOneRowCount: boolean;
  /** The graph has control flow or sizes that depend on values. */
  readonly isAsynchronous: boolean;
  run(inputs: readonly Tensor[], outputs?: readonly string[]): Promise<Tensor[]>;
  dispose(): void;
};

type Tf = Awaited<ReturnType<typeof tfjsRuntime>>;
type Execute = (
  inputs: readonly TfTensor[],
  outputs: readonly TfjsTensor[],
) => TfTensor[] | Promise<TfTensor[]>;

/** Gives the runtime what was read and checked; it never opens anything itself. */
function handlerOf({ json }: TfjsModel, weightData: ArrayBuffer[]): io.IOHandler {
  const groups = json.weightsManifest as io.WeightsManifestConfig;
  const { modelTopology, format, generatedBy, convertedBy, signature, userDefinedMetadata } =
    json as unknown as io.ModelJSON;
  const { modelInitializer, initializerSignature } = json as unknown as io.ModelJSON;
  const artifacts = {
    modelTopology,
    format,
    generatedBy,
    convertedBy,
    signature,
    userDefinedMetadata,
    modelInitializer,
    initializerSignature,
    weightSpecs: groups.flatMap(({ weights }) => weights),
    weightData,
  };
  // the runtime asks whether a part is there, not whether it is undefined
  const given = Object.fromEntries(Object.entries(artifacts).filter(([, value]) => value != null));
  return { load: async () => given as io.ModelArtifacts };
}

const asArray = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);

/** The names that the file gives, with the types and shapes that the layers work out. */
function layersSide(named: readonly TfjsTensor[], tensors: LayersModel['inputs']): TfjsTensor[] {
  if (named.length !== tensors.length)
    throw new Error('The model has other inputs or outputs than it names.');
  return named.map(({ name, ref }, i) => {
    const { dtype, shape } = tensors[i] as LayersModel['inputs'][number];
    return { name, ref, dtype: dtype as TfjsTensor['dtype'], shape };
  });
}

async function loadLayers(model: TfjsModel, handler: io.IOHandler) {
  const layers = await loadLayersModel(handler, { strict: true });
  const inputs = layersSide(model.inputs, layers.inputs);
  const outputs = layersSide(model.outputs, layers.outputs);
  const execute: Execute = (tensors, wanted) => {
    // what a request leaves in recurrent layers must not reach the next one
    if (layers.stateful) layers.resetStates();
    // in one batch: by itself it would cut the rows into pieces of 32
    const batchSize = tensors[0]?.shape[0] ?? 1;
    const all = asArray(layers.predict([...tensors], { batchSize }));
    return wanted.map((output) => all[outputs.indexOf(output)] as TfTensor);
  };
  return { inputs, outputs, hasOneRowCount: true, isAsynchronous: false, execute, owner: layers };
}

async function loadGraph(model: TfjsModel, handler: io.IOHandler) {
  const graph: GraphModel<io.IOHandler> = await loadGraphModel(handler);
  const isAsynchronous = [...model.operators].some((operator) => asynchronousOperators.has(operator));
  const { inputs, outputs } = model;
  const execute: Execute = async (tensors, wanted) => {
    const feeds: NamedTensorMap = {};
    inputs.forEach(({ ref }, i) => {
      feeds[ref] = tensors[i] as TfTensor;
    });
    const names = wanted.map(({ ref }) => ref);
    return asArray(isAsynchronous ? await graph.executeAsync(feeds, names) : graph.execute(feeds, names));
  };
  return { inputs, outputs, hasOneRowCount: false, isAsynchronous, execute, owner: graph };
}

function toRuntime(tf: Tf, { data, shape, dtype }: Tensor): TfTensor {
  return tf.tensor(data as Float32Array, shape as number[], dtype as 'float32');
}

function fromRuntime(name: string, tensor: TfTensor): Tensor {
  const data = tensor.dataSync() as Float32Array<ArrayBuffer>;
  return { name, dtype: tensor.dtype as 'float32', shape: tensor.shape, data };
}

/** Loads a model into TensorFlow.js. Throws what the runtime says; the caller translates. */
export async function loadTfjs(model: TfjsModel, weights: ArrayBuffer[]): Promise<LoadedTfjs> {
  const tf = await tfjsRuntime();
  const handler = handlerOf(model, weights);
  const load = model.format === 'layers-model' ? loadLayers : loadGraph;
  const { inputs, outputs, execute, owner, ...rest } = await load(model, handler);
  return {
    inputs,
    outputs,
    ...rest,
    async run(tensors, names) {
      const wanted = (names ?? outputs.map(({ name }) => name)).map(
        (name) => outputs.find((output) => output.name === name) as TfjsTensor,
      );
      const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
      // one run at a time in a host, so that every tensor made from here to the end is of this one
      tf.engine().startScope();
      try {
        const feeds = inputs.map(({ name }) => toRuntime(tf, byName.get(name) as Tensor));
        const results = await execute(feeds, wanted);
        return results.map((tensor, i) => fromRuntime((wanted[i] as TfjsTensor).name, tensor));
      } finally {
        tf.engine().endScope();
      }
    },
    dispose: () => void owner.dispose(),
  };
}
