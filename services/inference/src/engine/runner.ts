import type { AppError } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';

/** Outputs and the time that the runtime took for them (ms). */
export type RunResult = {
  outputs: Tensor[];
  computeMs: number;
  /** SHA-256 of each large input, where the runner made them beside the run; null for the others. */
  inputDigests?: readonly (string | null)[];
};

/** How a runner stands: `restarting` after a crash, `quarantined` after too many. */
export type RunnerState = 'ready' | 'restarting' | 'quarantined' | 'closed';

/** Something that runs one model: in this process, or in model hosts. */
export type Runner = {
  readonly placement: 'inline' | 'host';
  state(): RunnerState;
  /** Runs that can begin now. */
  capacity(): number;
  /** Why nothing will run any more; undefined while waiting helps. */
  fault(): AppError | undefined;
  run(inputs: readonly Tensor[], outputs?: readonly string[]): Promise<RunResult>;
  /** Called whenever capacity or state may have changed other than by the end of a run. */
  onChange(listener: () => void): void;
  /** Memory that the model holds (bytes), measured. */
  residentBytes(): number;
  /** Process ids of its model hosts. */
  pids(): number[];
  close(): Promise<void>;
};
