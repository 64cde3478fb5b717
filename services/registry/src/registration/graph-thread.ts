import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { isAppError } from '@millrace/contracts/errors';
import type { OnnxSource } from '@millrace/onnx';
import type { ReadGraph } from './graph.ts';
import { readGraph } from './graph.ts';

/** Where the file is: an open file of the process, the position of its first byte there, and its length. */
export type FilePlace = { readonly fd: number; readonly start: number; readonly sizeBytes: number };

/** What the thread sends once: the graph, or the error as it crosses a wire. */
export type ThreadReply =
  | { readonly graph: ReadGraph }
  | { readonly error: { readonly code: string; readonly message: string } };

function sourceAt({ fd, start: first, sizeBytes }: FilePlace): OnnxSource {
  return {
    sizeBytes,
    read(start, end, bytes = new Uint8Array(end - start)) {
      for (let done = 0; done < bytes.length; ) {
        const count = readSync(fd, bytes, done, bytes.length - done, first + start + done);
        if (count === 0) throw new Error('A spooled model became shorter.');
        done += count;
      }
      return bytes;
    },
  };
}

function reply(place: FilePlace): ThreadReply {
  try {
    return { graph: readGraph(sourceAt(place)) };
  } catch (error) {
    if (!isAppError(error)) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

parentPort?.postMessage(reply(workerData as FilePlace));
