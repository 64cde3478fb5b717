import { parentPort, workerData } from 'node:worker_threads';
import { isAppError } from '@millrace/contracts';
import { inspectGraph } from './graph.ts';

/** What the thread sends once: the inspected graph, or the error as it crosses a wire. */
export type ThreadReply =
  | { readonly graph: ReturnType<typeof inspectGraph> }
  | { readonly error: { readonly code: string; readonly message: string } };

function reply(bytes: Uint8Array): ThreadReply {
  try {
    return { graph: inspectGraph(bytes) };
  } catch (error) {
    if (!isAppError(error)) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

parentPort?.postMessage(reply(workerData as Uint8Array));
