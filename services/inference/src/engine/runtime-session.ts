import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AppError } from '@millrace/contracts';
import ort from 'onnxruntime-node';
import type { DType } from '../tensors/dtype.ts';
import { isDType } from '../tensors/dtype.ts';
import type { ModelSignature, Tensor, TensorSpec } from '../tensors/tensor.ts';

/** A graph that is loaded: its signature and a way to run it. Runs block the thread that they are on. */
export type RuntimeSession = {
  readonly signature: ModelSignature;
  /** The graph has Loop or Scan nodes, so the time of a run depends on the values. */
  readonly hasLoops: boolean;
  /** Outputs by the order of `outputs`, or all. Throws `inference_failed`. */
  run(inputs: readonly Tensor[], outputs?: readonly string[]): Promise<Tensor[]>;
  close(): Promise<void>;
};

/** Where a graph is and what it must be. */
export type GraphFile = { readonly path: string; readonly sha256: string };

export type SessionOptions = { threads: number };

/** The runtime writes its own errors to stderr unless told to keep to fatal ones (level 4); we report them. */
const LOG_FATAL_ONLY = 4;

/** Field 4 (op_type) of a node in the file, for the two operators that repeat a graph. */
const LOOP_NODES = ['\x22\x04Loop', '\x22\x04Scan'].map((text) => Buffer.from(text, 'latin1'));

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0]?.slice(0, 500) ?? '';
}

function toSpec(meta: ort.InferenceSession.ValueMetadata, what: string): TensorSpec {
  if (!meta.isTensor || !isDType(meta.type)) {
    const code = what === 'input' ? 'unsupported_input' : 'unsupported_output';
    const type = meta.isTensor ? meta.type : 'not a tensor';
    throw new AppError(code, `The ${what} "${meta.name}" is ${type}, which cannot be served.`);
  }
  const shape = meta.shape.map((size) => (typeof size === 'number' && size >= 0 ? size : null));
  const [first] = meta.shape;
  const symbol = typeof first === 'string' && first !== '' ? { rowSymbol: first } : {};
  return { name: meta.name, dtype: meta.type as DType, shape, ...symbol };
}

/** Reads a file once and checks the digest of exactly those bytes. Throws `digest_mismatch` or `artifact_missing`. */
export async function readVerified(file: GraphFile): Promise<Buffer> {
  const bytes = await readFile(file.path).catch((cause: unknown) => {
    throw new AppError('artifact_missing', 'A file of the model is not in the node cache; load it again.', {
      cause,
    });
  });
  const actual = createHash('sha256').update(bytes).digest('hex');
  if (actual !== file.sha256) {
    throw new AppError('digest_mismatch', `The graph has digest ${actual}, not the signed ${file.sha256}.`);
  }
  return bytes;
}

function fromRuntime(name: string, value: ort.OnnxValue): Tensor {
  return { name, dtype: value.type as DType, shape: value.dims, data: value.data } as unknown as Tensor;
}

/**
 * Loads a graph from the very bytes whose digest was checked.
 * Throws `digest_mismatch`, `model_load_failed` with the runtime's reason, `unsupported_input`, `unsupported_output`.
 */
export async function openSession(file: GraphFile, options: SessionOptions): Promise<RuntimeSession> {
  const bytes = await readVerified(file);
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(bytes, {
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
  const outputNames = session.outputNames;
  return {
    signature,
    hasLoops: LOOP_NODES.some((node) => bytes.includes(node)),
    async run(inputs, outputs = outputNames) {
      const feeds: Record<string, ort.Tensor> = {};
      for (const { name, dtype, data, shape } of inputs) {
        feeds[name] = new ort.Tensor(dtype as 'float32', data as Float32Array, shape);
      }
      try {
        const result = await session.run(feeds, outputs as string[]);
        return outputs.map((name) => fromRuntime(name, result[name] as ort.OnnxValue));
      } catch (error) {
        throw new AppError('inference_failed', `The runtime failed on this input: ${firstLine(error)}`);
      }
    },
    close: () => session.release(),
  };
}
