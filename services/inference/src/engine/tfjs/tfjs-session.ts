import { AppError } from '@millrace/contracts/errors';
import type { TfjsModel } from '@millrace/tfjs';
import { assertShards, readTfjsModel } from '@millrace/tfjs';
import type { ModelSignature } from '../../tensors/tensor.ts';
import type { GraphFile, RuntimeSession, SessionOptions, WeightFile } from '../runtime-session.ts';
import { assertBounded, firstLine, readVerified } from '../runtime-session.ts';
import type { LoadedTfjs } from './load-tfjs.ts';
import { loadTfjs } from './load-tfjs.ts';
import { signatureOf } from './tfjs-signature.ts';

/** What the runtime says when an operator is not among those of its wasm backend. */
const NO_KERNEL = /Kernel '?(\w+)'? not registered/;

/** Weight files by name, each read once and checked, as the runtime takes them. */
async function readWeights(model: TfjsModel, files: readonly WeightFile[]): Promise<ArrayBuffer[]> {
  const byName = new Map<string, Buffer>();
  for (const file of files) byName.set(file.name, await readVerified(file));
  assertShards(model.weights, new Map([...byName].map(([name, bytes]) => [name, bytes.length])));
  return model.weights.flatMap((group) =>
    group.files.map((name) => {
      const { buffer, byteOffset, byteLength } = byName.get(name) as Buffer;
      const isWhole = byteOffset === 0 && byteLength === buffer.byteLength;
      return (isWhole ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)) as ArrayBuffer;
    }),
  );
}

function toAppError(error: unknown, code: 'model_load_failed' | 'inference_failed'): AppError {
  const reason = firstLine(error);
  const kernel = NO_KERNEL.exec(error instanceof Error ? error.message : '')?.[1];
  if (kernel !== undefined)
    return new AppError('unsupported_operator', `TensorFlow.js has no wasm kernel for ${kernel}.`);
  return code === 'model_load_failed'
    ? new AppError(code, `TensorFlow.js refused the model: ${reason}`)
    : new AppError(code, `TensorFlow.js failed on this input: ${reason}`);
}

/**
 * Loads a TF.js model from the very bytes whose digests were checked: the runtime is given them in memory and knows no
 * path or address. Runs on the wasm backend, on one thread.
 * Throws `digest_mismatch`, `model_load_failed` with the runtime's reason, `unsupported_operator`, `weights_mismatch`,
 * and those of a model.json that contradicts itself.
 */
export async function openTfjsSession(
  graph: GraphFile & { readonly weights: readonly WeightFile[] },
  options: SessionOptions,
): Promise<RuntimeSession> {
  const model = readTfjsModel(await readVerified(graph));
  const weights = await readWeights(model, graph.weights);
  let loaded: LoadedTfjs;
  let signature: ModelSignature;
  try {
    loaded = await loadTfjs(model, weights);
    signature = await signatureOf(loaded);
  } catch (error) {
    throw toAppError(error, 'model_load_failed');
  }
  return {
    signature,
    isUnbounded: loaded.isAsynchronous,
    async run(inputs, outputs) {
      const tensors = await loaded.run(inputs, outputs).catch((error: unknown) => {
        throw toAppError(error, 'inference_failed');
      });
      assertBounded(tensors, options.outputBytesMax);
      return tensors;
    },
    close: async () => loaded.dispose(),
  };
}
