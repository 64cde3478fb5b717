import { Worker } from 'node:worker_threads';
import { AppError, appErrorFrom } from '@millrace/contracts';
import type { InspectedGraph } from './graph.ts';
import { inspectGraph } from './graph.ts';
import type { ThreadReply } from './graph-thread.ts';

/** Files up to this size are read here: even the worst takes under a second. Larger ones get a thread of their own. */
const INLINE_BYTES_MAX = 1024 * 1024;
/** The largest file within the bounds takes a tenth of this. */
const THREAD_TIMEOUT_MS = 120_000;
/** Heap of a thread; the largest graph within the bounds takes half of it. The bytes themselves are outside. */
const THREAD_HEAP_MIB = 1_024;

/**
 * `inspectGraph` without holding up the service: what it reads of unknown origin can neither block nor exhaust it.
 * The bytes are handed over to the thread and gone afterwards.
 * @throws AppError as `inspectGraph` does, and `model_too_complex` when reading takes too long or too much memory
 */
export async function inspectUntrusted(bytes: Buffer): Promise<InspectedGraph> {
  if (bytes.length <= INLINE_BYTES_MAX) return inspectGraph(bytes);
  const reply = await askThread(bytes);
  if ('error' in reply) throw appErrorFrom(reply.error);
  return reply.graph;
}

async function askThread(bytes: Buffer): Promise<ThreadReply> {
  const worker = new Worker(new URL('./graph-thread.ts', import.meta.url), {
    workerData: bytes,
    transferList: bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer as ArrayBuffer] : [],
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB },
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
