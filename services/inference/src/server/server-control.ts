/** How a version stands, in the words of the protocol. */
export type VersionState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';

/** One line of the repository index; `version` is the ordinal. */
export type IndexEntry = {
  readonly name: string;
  readonly version: string;
  readonly state: VersionState;
  /** Why it is not ready; empty when it is. */
  readonly reason: string;
};

/** How often something happened and how long it took in all (ns). */
export type DurationStatistics = { readonly count: number; readonly ns: number };

/** Runs of one number of rows: preparing inputs, the run itself, handing out outputs. */
export type BatchStatistics = {
  readonly batch_size: number;
  readonly compute_input: DurationStatistics;
  readonly compute_infer: DurationStatistics;
  readonly compute_output: DurationStatistics;
};

/**
 * What a version did since it was loaded, as the statistics extension writes it. The durations of `inference_stats` count
 * per request (each request of a joined run has the whole time of the run), those of `batch_stats` per run.
 */
export type ModelStatistics = {
  readonly name: string;
  readonly version: string;
  /** Time of the last answer (ms since 1970); 0 before the first. */
  readonly last_inference: number;
  /** Rows answered. */
  readonly inference_count: number;
  /** Runs of the model. */
  readonly execution_count: number;
  readonly inference_stats: {
    readonly success: DurationStatistics;
    readonly fail: DurationStatistics;
    readonly queue: DurationStatistics;
    readonly compute_input: DurationStatistics;
    readonly compute_infer: DurationStatistics;
    readonly compute_output: DurationStatistics;
    readonly cache_hit: DurationStatistics;
    readonly cache_miss: DurationStatistics;
  };
  readonly response_stats: Readonly<Record<string, never>>;
  readonly batch_stats: readonly BatchStatistics[];
  readonly memory_usage: readonly { readonly type: 'CPU'; readonly id: number; readonly byte_size: number }[];
};

/** A tensor of a model configuration; `dims` are without the row dimension when `max_batch_size` is over 0. */
export type ConfigTensor = {
  readonly name: string;
  /** `TYPE_FP32` and so on. */
  readonly data_type: string;
  readonly dims: readonly number[];
};

/** Steps of an ensemble; a built-in one is called `builtin:<kind>` and has version -1. */
export type EnsembleScheduling = {
  readonly step: readonly {
    readonly model_name: string;
    readonly model_version: number;
    readonly input_map: Readonly<Record<string, string>>;
    readonly output_map: Readonly<Record<string, string>>;
  }[];
};

/** How a version is served, as the model configuration extension writes it. */
export type ModelConfig = {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  readonly version_policy: { readonly specific: { readonly versions: readonly number[] } };
  /** Most rows of a request; 0 when the first dimension is not free. */
  readonly max_batch_size: number;
  readonly input: readonly ConfigTensor[];
  readonly output: readonly ConfigTensor[];
  readonly instance_group: readonly {
    readonly name: string;
    readonly kind: 'KIND_CPU';
    readonly count: number;
  }[];
  readonly default_model_filename: string;
  /** Present when requests are joined. */
  readonly dynamic_batching?: { readonly max_queue_delay_microseconds: number };
  /** Present for an ensemble. */
  readonly ensemble_scheduling?: EnsembleScheduling;
  readonly parameters: Readonly<Record<string, { readonly string_value: string }>>;
  readonly model_transaction_policy: { readonly decoupled: boolean };
};

/**
 * Speaks for the whole server, however many processes share its port. `name` is a served name, here and in what it
 * tells, and `version` a label or an ordinal. All throw
 * `model_not_found`, `version_not_found` or `dependency_unavailable` when the name cannot be resolved.
 */
export type ServerControl = {
  /** Versions in memory, on their way there, or known not to be servable. */
  index(): Promise<IndexEntry[]>;
  /** Loads a version (default: the production version, else the newest) and serves it again if it was unloaded. */
  load(name: string, version?: string): Promise<void>;
  /** Drains and frees a version, or all of a model; requests get `model_not_ready` until `load`. */
  unload(name: string, version?: string): Promise<void>;
  /** Of one version, of all loaded versions of a model, or of all. Throws `model_not_ready` when none is loaded. */
  statistics(name?: string, version?: string): Promise<ModelStatistics[]>;
  /** Loads the version if need be. Throws what a prediction throws. */
  config(name: string, version?: string): Promise<ModelConfig>;
};
