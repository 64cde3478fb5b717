/** Bounds on a model file that is taken in; what is over one is refused before memory is spent on it. */
export type OnnxLimits = {
  /** Size of the file, in bytes. */
  readonly modelBytesMax: number;
  /** What is not raw tensor data and is read into memory, in bytes. */
  readonly outlineBytesMax: number;
  /** Messages (nodes, attributes, tensors, types …) in the file; each costs some hundred bytes once decoded. */
  readonly messagesMax: number;
  /** Single values outside raw tensor data (numbers, names); each costs some ten bytes once decoded. */
  readonly valuesMax: number;
  /** Levels of If, Loop and Scan inside one another; loading time in the runtime doubles with each. */
  readonly controlFlowDepthMax: number;
  /** Nodes once every model-local function call is replaced by the function's body. */
  readonly expandedNodesMax: number;
  /** All metadata_props together, in bytes. */
  readonly metadataBytesMax: number;
};

/** Bounds for files of unknown origin; a large random forest fits, and a network of half a billion float32 weights. */
export const defaultOnnxLimits: OnnxLimits = {
  // what protobuf can hold: the runtime reads no larger file either
  modelBytesMax: 2 ** 31 - 1,
  outlineBytesMax: 128 * 1024 * 1024,
  messagesMax: 400_000,
  valuesMax: 8_000_000,
  controlFlowDepthMax: 8,
  expandedNodesMax: 400_000,
  metadataBytesMax: 16 * 1024 * 1024,
};

/** What onnxruntime 1.30.0 accepts: the highest IR version, and the highest opset of each domain it implements. */
export const runtimeSupport = {
  name: 'onnxruntime 1.30.0',
  irVersionMax: 13,
  opsetMax: { '': 26, 'ai.onnx.ml': 5, 'com.microsoft': 1 },
} as const satisfies { name: string; irVersionMax: number; opsetMax: Readonly<Record<string, number>> };

/** Operator domains that the runtime implements; `ai.onnx` is another spelling of the empty name. */
export function opsetMaxOf(domain: string): number | undefined {
  const known: Readonly<Record<string, number>> = runtimeSupport.opsetMax;
  const name = domain === 'ai.onnx' ? '' : domain;
  return Object.hasOwn(known, name) ? known[name] : undefined;
}
