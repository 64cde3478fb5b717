import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { AppError } from '@millrace/contracts/errors';
import type { DType } from '../tensors/dtype.ts';
import { isDType } from '../tensors/dtype.ts';
import type { ModelSignature, Tensor, TensorSpec } from '../tensors/tensor.ts';
import { tensorBytes } from '../tensors/tensor.ts';
import type { RuntimeTensor, RuntimeValue } from './onnxruntime.ts';
import { createLibrarySession, LOG_FATAL_ONLY } from './onnxruntime.ts';

/** Bytes of a model that are read while those before them are hashed. */
const READ_BYTES = 4 * 1024 * 1024;

/** A graph that is loaded: its signature and a way to run it. Runs block the thread that they are on. */
export type RuntimeSession = {
  readonly signature: ModelSignature;
  /** The graph has operators by which time and memory of a run depend on the values. */
  readonly isUnbounded: boolean;
  /** Outputs by the order of `outputs`, or all. Throws `inference_failed` or `output_too_large`. */
  run(inputs: readonly Tensor[], outputs?: readonly string[]): Promise<Tensor[]>;
  /** The same at once, where the runtime can; the thread is blocked either way. */
  runNow?(inputs: readonly Tensor[], outputs?: readonly string[]): Tensor[];
  close(): Promise<void>;
};

/** Where a file of a model is and what it must be. */
export type ModelFile = { readonly path: string; readonly sha256: string };

/** A weight file of a TF.js model, with the name that its model.json gives it. */
export type WeightFile = ModelFile & { readonly name: string };

/** Where a graph is and what it must be: an ONNX file or, with its weight files, the model.json of a TF.js model. */
export type GraphFile = ModelFile & { readonly weights?: readonly WeightFile[] };

/** `outputBytesMax` bounds the outputs of one run. */
export type SessionOptions = { readonly threads: number; readonly outputBytesMax: number };

/** Operators that repeat a graph, or make tensors whose size is one of their values. */
const UNBOUNDED_OPERATORS = [
  'Loop',
  'Scan',
  'ConstantOfShape',
  'Expand',
  'Range',
  'Tile',
  'Resize',
  'Upsample',
  'Pad',
  'OneHot',
  'MaxUnpool',
  'CenterCropPad',
  'RandomNormal',
  'RandomUniform',
  'BlackmanWindow',
  'HammingWindow',
  'HannWindow',
  'MelWeightMatrix',
  'DFT',
  'STFT',
  'Col2Im',
  'AffineGrid',
];
/** Field 4 (op_type) of a node in the file, for each of them. */
const UNBOUNDED_NODES = UNBOUNDED_OPERATORS.map((name) =>
  Buffer.from(`\x22${String.fromCharCode(name.length)}${name}`, 'latin1'),
);

/** The first line of what a runtime says, cut. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0]?.slice(0, 500) ?? '';
}

/** Names of the runtime's types by their numbers; those without one are in no tensor that it can give. */
const TYPES: readonly (string | undefined)[] = [
  undefined,
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
];

function toSpec(meta: RuntimeValue, what: 'input' | 'output'): TensorSpec {
  const type = meta.isTensor ? TYPES[meta.type] : undefined;
  if (type === undefined || !isDType(type)) {
    const code = what === 'input' ? 'unsupported_input' : 'unsupported_output';
    const found = meta.isTensor ? (type ?? `of type ${meta.type}`) : 'not a tensor';
    throw new AppError(code, `The ${what} "${meta.name}" is ${found}, which cannot be served.`);
  }
  const shape = meta.shape.map((size) => (size >= 0 ? size : null));
  const symbol = shape[0] === null ? meta.symbolicDimensions[0] : undefined;
  return { name: meta.name, dtype: type, shape, ...(symbol && { rowSymbol: symbol }) };
}

/** Reads a file once and checks the digest of exactly those bytes. Throws `digest_mismatch` or `artifact_missing`. */
export async function readVerified(file: ModelFile): Promise<Buffer> {
  const hash = createHash('sha256');
  const bytes = await readHashed(file.path, hash).catch((cause: unknown) => {
    throw new AppError('artifact_missing', 'A file of the model is not in the node cache; load it again.', {
      cause,
    });
  });
  const actual = hash.digest('hex');
  if (actual !== file.sha256) {
    throw new AppError('digest_mismatch', `The graph has digest ${actual}, not the signed ${file.sha256}.`);
  }
  return bytes;
}

/** Reads a file into memory while what is there of it is hashed; in pieces, so that nobody waits for a large one. */
async function readHashed(path: string, hash: Hash): Promise<Buffer> {
  const handle = await open(path);
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.allocUnsafeSlow(size);
    const read = async (at: number): Promise<number> =>
      at >= size ? 0 : (await handle.read(bytes, at, Math.min(READ_BYTES, size - at), at)).bytesRead;
    let at = 0;
    for (let count = await read(at); count > 0; ) {
      const next = read(at + count);
      hash.update(bytes.subarray(at, at + count));
      at += count;
      count = await next;
    }
    return bytes.subarray(0, at);
  } finally {
    await handle.close();
  }
}

function fromRuntime(name: string, { type, data, dims }: RuntimeTensor): Tensor {
  // newer releases of Node have a class for half precision; here a half is its bits
  const isBits = type !== 'float16' || data instanceof Uint16Array;
  const { buffer, byteOffset, length } = data as Uint16Array;
  const own = isBits ? data : new Uint16Array(buffer, byteOffset, length);
  return { name, dtype: type as DType, shape: dims, data: own } as unknown as Tensor;
}

const toRuntime = ({ dtype, data, shape }: Tensor): RuntimeTensor => ({
  type: dtype,
  data,
  dims: shape,
  location: 'cpu',
});

/** Throws `output_too_large` when the outputs of a run are together over the bound. */
export function assertBounded(outputs: readonly Tensor[], bytesMax: number): void {
  const bytes = outputs.reduce((total, tensor) => total + tensorBytes(tensor), 0);
  if (bytes <= bytesMax) return;
  throw new AppError(
    'output_too_large',
    `The outputs of this request have ${bytes} bytes, over the bound of ${bytesMax}; send fewer rows or ask for fewer outputs.`,
  );
}

/**
 * Loads a graph from the very bytes whose digest was checked.
 * Throws `digest_mismatch`, `model_load_failed` with the runtime's reason, `unsupported_input`, `unsupported_output`.
 */
export async function openSession(file: GraphFile, options: SessionOptions): Promise<RuntimeSession> {
  const bytes = await readVerified(file);
  const session = createLibrarySession();
  try {
    session.loadModel(bytes.buffer, bytes.byteOffset, bytes.byteLength, {
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
      // the arena keeps what the largest request needed; measured no faster here
      enableCpuMemArena: false,
      logSeverityLevel: LOG_FATAL_ONLY,
    });
  } catch (error) {
    throw new AppError('model_load_failed', `The runtime refused the model: ${firstLine(error)}`);
  }
  const signature = {
    inputs: session.inputMetadata.map((meta) => toSpec(meta, 'input')),
    outputs: session.outputMetadata.map((meta) => toSpec(meta, 'output')),
  };
  const outputNames = signature.outputs.map(({ name }) => name);
  const all = fetchesOf(outputNames);

  function runNow(inputs: readonly Tensor[], outputs = outputNames as readonly string[]): Tensor[] {
    const feeds: Record<string, RuntimeTensor> = {};
    for (const input of inputs) feeds[input.name] = toRuntime(input);
    let result: Record<string, RuntimeTensor>;
    try {
      result = session.run(feeds, outputs === outputNames ? all : fetchesOf(outputs), {});
    } catch (error) {
      throw new AppError('inference_failed', `The runtime failed on this input: ${firstLine(error)}`);
    }
    const tensors = outputs.map((name) => fromRuntime(name, result[name] as RuntimeTensor));
    assertBounded(tensors, options.outputBytesMax);
    return tensors;
  }

  return {
    signature,
    isUnbounded: UNBOUNDED_NODES.some((node) => bytes.includes(node)),
    runNow,
    run: async (inputs, outputs) => runNow(inputs, outputs),
    async close() {
      session.dispose();
    },
  };
}

function fetchesOf(names: readonly string[]): Record<string, null> {
  const fetches: Record<string, null> = {};
  for (const name of names) fetches[name] = null;
  return fetches;
}
