/** Bounds on a TF.js model that is taken in; what is over one is refused before anything is built of it. */
export type TfjsLimits = {
  /** Size of model.json, in bytes. */
  readonly jsonBytesMax: number;
  /** Weight files. */
  readonly shardsMax: number;
  /** Weights; each costs some hundred bytes once read. */
  readonly weightsMax: number;
  /** Weights as the runtime holds them, four bytes for a quantised value (bytes). */
  readonly decodedBytesMax: number;
  /** Nodes of a graph, those of its functions included, or layers. */
  readonly nodesMax: number;
  /** Levels of objects and lists in one another. */
  readonly depthMax: number;
};

/** Bounds for files of unknown origin; a MobileNet has 0.2 MB of JSON, 5 shards and 900 nodes. */
export const defaultTfjsLimits: TfjsLimits = {
  jsonBytesMax: 32 * 1024 * 1024,
  shardsMax: 1_024,
  weightsMax: 50_000,
  decodedBytesMax: 2 * 1024 * 1024 * 1024,
  nodesMax: 100_000,
  depthMax: 64,
};
