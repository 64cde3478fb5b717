import { Readable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError, appErrorFrom } from '@millrace/contracts';
import type { OnnxSegment } from '@millrace/onnx';
import { defaultOnnxLimits, sourceOf } from '@millrace/onnx';
import type { BlobRef, Storage } from '@millrace/storage';
import type { SpooledFile } from '../uploads/spool.ts';
import { openSpoolArea } from '../uploads/spool.ts';
import type { ReadGraph } from './graph.ts';
import { readGraph } from './graph.ts';
import type { FilePlace, ThreadReply } from './graph-thread.ts';

/** Files up to this size are read here: even the worst takes under a second. Larger ones get a thread of their own. */
const INLINE_BYTES_MAX = 1024 * 1024;
/** The largest file within the bounds takes a tenth of this. */
const THREAD_TIMEOUT_MS = 120_000;
/** Heap of a thread; the largest graph within the bounds takes half of it. Weights are never in memory as a whole. */
const THREAD_HEAP_MIB = 1_024;
/** Young generation of a thread: what it makes on the way is collected early. */
const THREAD_YOUNG_MIB = 4;

/** An ONNX file that was read and found servable, and the graph to serve where another had to be made. */
export type InspectedGraph = Omit<ReadGraph, 'rewritten'> & {
  /** SHA-256 of the file as it came. */
  readonly sha256: string;
  readonly serving: BlobRef | undefined;
};

/**
 * Reads a file of unknown origin without holding up the service: it can neither block nor exhaust it. A graph that has
 * to be rewritten is stored.
 * @throws AppError as `readGraph` does, `model_too_large`, and `model_too_complex` when reading takes too long or too
 * much memory
 */
export async function inspectUntrusted(storage: Storage, file: SpooledFile): Promise<InspectedGraph> {
  const { sizeBytes, sha256 } = file;
  const { modelBytesMax } = defaultOnnxLimits;
  if (sizeBytes > modelBytesMax)
    throw new AppError(
      'model_too_large',
      `The model has ${sizeBytes} bytes; at most ${modelBytesMax} are read.`,
    );
  const isSmall = sizeBytes <= INLINE_BYTES_MAX;
  const { rewritten, ...graph } = isSmall
    ? readGraph(sourceOf(await file.bytes()))
    : await readInThread({ ...file.place, sizeBytes });
  const serving =
    rewritten === undefined
      ? undefined
      : await storage.putBlob(Readable.from(contentOf(rewritten, file), { objectMode: false }));
  return { ...graph, sha256, serving };
}

/** The same for a file that is in the object store. @throws AppError `artifact_corrupt` and `artifact_missing` too */
export async function inspectStored(storage: Storage, file: ArtifactRef): Promise<InspectedGraph> {
  const { modelBytesMax } = defaultOnnxLimits;
  const tooLarge = () =>
    new AppError('model_too_large', `${file.path} is over ${modelBytesMax} bytes; at most so many are read.`);
  if (file.sizeBytes > modelBytesMax) throw tooLarge();
  const area = await openSpoolArea();
  try {
    const spooled = await area.add(await storage.getBlob(file.sha256), modelBytesMax, tooLarge);
    return await inspectUntrusted(storage, spooled);
  } finally {
    await area.dispose();
  }
}

async function* contentOf(parts: readonly OnnxSegment[], file: SpooledFile): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Uint8Array) yield part;
    else yield* file.stream(part.start, part.end);
  }
}

async function readInThread(place: FilePlace): Promise<ReadGraph> {
  const reply = await askThread(place);
  if ('error' in reply) throw appErrorFrom(reply.error);
  return reply.graph;
}

async function askThread(place: FilePlace): Promise<ThreadReply> {
  const worker = new Worker(new URL('./graph-thread.ts', import.meta.url), {
    workerData: place,
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB, maxYoungGenerationSizeMb: THREAD_YOUNG_MIB },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<ThreadReply>((resolve, reject) => {
      timer = setTimeout(() => reject(tooComplex(`took over ${THREAD_TIMEOUT_MS} ms`)), THREAD_TIMEOUT_MS);
      worker.once('message', resolve);
      worker.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooComplex(`took over ${THREAD_HEAP_MIB} MiB`) : error,
        ),
      );
      worker.once('exit', () => reject(new Error('The thread that reads a model ended without an answer.')));
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

function tooComplex(what: string): AppError {
  return new AppError(
    'model_too_complex',
    `Reading the model ${what}; split it or export it without unrolling.`,
  );
}
