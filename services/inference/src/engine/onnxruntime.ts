import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { isMainThread } from 'node:worker_threads';

// From 1.29 on the runtime reports its use to its makers from Linux too, and keeps a device id in the home folder. Only
// this variable prevents that, and only when it is there before the library is loaded. Nothing of ours calls outside.
process.env.ORT_DISABLE_TELEMETRY = '1';

/** An input or output as the library gives it; -1 in `shape` is free, and may have a name in `symbolicDimensions`. */
export type RuntimeValue = {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type: number;
  readonly shape: readonly number[];
  readonly symbolicDimensions: readonly string[];
};

/** A tensor as the library takes and gives it. */
export type RuntimeTensor = {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
  readonly location: 'cpu';
};

/** The library's own session. Loading and runs block the thread and throw its errors. */
export type RuntimeLibrarySession = {
  readonly inputMetadata: readonly RuntimeValue[];
  readonly outputMetadata: readonly RuntimeValue[];
  loadModel(memory: ArrayBufferLike, offset: number, bytes: number, options: object): void;
  /** `fetches` has the wanted outputs as its keys, with null for memory that the library is to find. */
  run(
    feeds: Readonly<Record<string, RuntimeTensor>>,
    fetches: Readonly<Record<string, null>>,
    options: object,
  ): Record<string, RuntimeTensor>;
  dispose(): void;
};

type Library = {
  InferenceSession: new () => RuntimeLibrarySession;
  initOrtOnce(
    logLevel: number,
    Tensor: new (type: string, data: unknown, dims: readonly number[]) => RuntimeTensor,
    isMainThread: boolean,
  ): void;
};

/** The library writes to stderr by itself unless told to keep to fatal errors. */
export const LOG_FATAL_ONLY = 4;

/** What the library makes of an output. */
class Output implements RuntimeTensor {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
  readonly location = 'cpu';

  constructor(type: string, data: unknown, dims: readonly number[]) {
    this.type = type;
    this.data = data;
    this.dims = dims;
  }
}

/**
 * The library beneath onnxruntime-node's `InferenceSession`; import the runtime from here only. That class blocks the
 * thread just as well, but puts three promises, a turn of the event loop and checks that ours were made before around
 * each run: 6 of 16 µs for a logistic regression. Its version is pinned, and every test of a model goes this way.
 */
const library = createRequire(import.meta.url)(
  `onnxruntime-node/bin/napi-v6/${platform()}/${arch()}/onnxruntime_binding.node`,
) as Library;
library.initOrtOnce(LOG_FATAL_ONLY, Output, isMainThread);

/** A session of the library that has no model yet. */
export const createLibrarySession = (): RuntimeLibrarySession => new library.InferenceSession();
