/** What MLflow's REST API says of its things, as far as an import reads it. */
export type Pair = { readonly key: string; readonly value?: string };
export type LifecycleStage = 'active' | 'deleted';

export type MlflowExperiment = {
  readonly experiment_id: string;
  readonly name: string;
  readonly lifecycle_stage: LifecycleStage;
  readonly tags?: readonly Pair[];
};

/** NaN and the infinities are texts. */
export type MlflowMetric = {
  readonly key: string;
  readonly value: number | string;
  readonly timestamp: number;
  readonly step?: number;
  readonly run_id?: string;
  readonly dataset_name?: string;
  readonly dataset_digest?: string;
};

export type MlflowRun = {
  readonly info: {
    readonly run_id: string;
    readonly run_name?: string;
    readonly experiment_id: string;
    readonly user_id?: string;
    readonly status: string;
    readonly start_time?: number;
    readonly end_time?: number;
    readonly artifact_uri: string;
    readonly lifecycle_stage: LifecycleStage;
  };
  readonly data: {
    readonly metrics?: readonly MlflowMetric[];
    readonly params?: readonly Pair[];
    readonly tags?: readonly Pair[];
  };
  readonly inputs?: {
    readonly dataset_inputs?: readonly object[];
    readonly model_inputs?: readonly { readonly model_id: string }[];
  };
  readonly outputs?: {
    readonly model_outputs?: readonly { readonly model_id: string; readonly step?: number }[];
  };
};

export type MlflowLoggedModel = {
  readonly info: {
    readonly model_id: string;
    readonly name?: string;
    readonly artifact_uri: string;
    readonly status: string;
    readonly model_type?: string;
    readonly source_run_id?: string;
    readonly tags?: readonly Pair[];
  };
  readonly data?: { readonly params?: readonly Pair[]; readonly metrics?: readonly MlflowMetric[] };
};

export type MlflowRegisteredModel = {
  readonly name: string;
  readonly description?: string;
  readonly tags?: readonly Pair[];
  readonly aliases?: readonly { readonly alias: string; readonly version: string }[];
};

export type MlflowModelVersion = {
  readonly name: string;
  readonly version: string;
  readonly creation_timestamp: number;
  readonly current_stage?: string;
  readonly description?: string;
  readonly source?: string;
  readonly run_id?: string;
  readonly run_link?: string;
  readonly model_id?: string;
  readonly status: string;
  readonly status_message?: string;
  readonly tags?: readonly Pair[];
};

/** Tags that say where something was imported from; the ids are those that it had there. */
export const IMPORTED = {
  uri: 'imported.uri',
  experiment: 'imported.experiment_id',
  run: 'imported.run_id',
  /** SHA-256 of the record that was copied last; written when all of it is there. */
  state: 'imported.state',
  loggedModel: 'imported.model_id',
  version: 'imported.version',
  versionMade: 'imported.created_ms',
} as const;

/** The value of a tag. */
export const tagOf = (tags: readonly Pair[] | undefined, key: string): string | undefined =>
  tags?.find((tag) => tag.key === key)?.value;
