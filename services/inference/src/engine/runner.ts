import type { AppError } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';

/** Time that a step of an ensemble took, its wait for the model included (ms). */
export type StepTime = { readonly id: string; readonly ms: number };

/** What a run is held to by one of the requests in it. */
export type RunRequest = {
  /** When it began to wait (`performance.now()`), and how long it may (ms). */
  readonly queuedAt: number;
  readonly deadlineMs: number;
  readonly priority?: number | undefined;
  readonly isGone?: (() => boolean) | undefined;
};

/** Outputs and the time that the runtime took for them (ms). */
export type RunResult = {
  outputs: Tensor[];
  computeMs: number;
  /** When the runtime began (`performance.now()` of this process). */
  startedAt: number;
  /** SHA-256 of each large input, where the runner made them beside the run; null for the others. */
  inputDigests?: readonly (string | null)[] | undefined;
  /** Of an ensemble, in the order of their ends. */
  steps?: readonly StepTime[] | undefined;
};

/** How a runner stands: `restarting` after a crash, `quarantined` after too many. */
export type RunnerState = 'ready' | 'restarting' | 'quarantined' | 'closed';

/** Something that runs one model: in this process, in model hosts, or step by step. */
export type Runner = {
  readonly placement: 'inline' | 'host';
  state(): RunnerState;
  /** Runs that can begin now. */
  capacity(): number;
  /** Why nothing will run any more; undefined while waiting helps. */
  fault(): AppError | undefined;
  /** `requests` are those whose rows are joined in it; a run of one piece cannot be cut short and ignores them. */
  run(
    inputs: readonly Tensor[],
    outputs?: readonly string[] | undefined,
    requests?: readonly RunRequest[],
  ): Promise<RunResult>;
  /** Called whenever capacity or state may have changed other than by the end of a run. */
  onChange(listener: () => void): void;
  /** Memory that the model holds (bytes), measured. */
  residentBytes(): number;
  /** Process ids of its model hosts. */
  pids(): number[];
  close(): Promise<void>;
};
