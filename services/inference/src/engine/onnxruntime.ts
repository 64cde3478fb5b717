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

type Binding = {
  binding: { InferenceSession: new () => RuntimeLibrarySession };
  initOrt(): void;
};

/**
 * What onnxruntime-node's `InferenceSession` stands on; import the runtime from here only. That class blocks the thread
 * just as well, but puts three promises, a turn of the event loop and checks that ours were made before around each run:
 * 5 µs of 13 for a logistic regression. Its version is pinned, and every test of a model goes this way.
 */
const { default: library } = (await import('onnxruntime-node/dist/binding.js' as string)) as {
  default: Binding;
};

/** A session of the library that has no model yet. */
export function createLibrarySession(): RuntimeLibrarySession {
  library.initOrt();
  return new library.binding.InferenceSession();
}
