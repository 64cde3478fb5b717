import type { Target } from './answers.ts';
import type { Encoding } from './cells.ts';
import type { BenchModels } from './models.ts';
import type { Endpoint } from './payloads.ts';

/** What a server is started with. */
export type ServerContext = {
  models: BenchModels;
  /** Folder of the run; removed at its end. */
  scratch: string;
  signal: AbortSignal;
  print: (text: string) => void;
};

/** A server that answers. */
export type RunningServer = Target & {
  /** From the start of its process to its first right answer (ms); null when that was not measured. */
  startMs: number | null;
  /** What it says about its start beside that. */
  notes: readonly string[];
  /** The roots of the processes that serve, whose memory and time are counted. */
  processes: () => number[];
  stop: () => Promise<void>;
};

/** A server of the benchmark. */
export type Server = {
  name: string;
  /** Versions and every option, in a sentence. */
  about: string;
  endpoints: Partial<Record<Encoding, Endpoint>>;
  /** It answers all requests alike, as a bound for what any server can be: its answers are not compared. */
  isBound?: true;
  /** Why it cannot run here; null when it can. */
  missing?: () => string | null;
  /** Makes what it needs: environments, settings. Called once. */
  prepare?: (context: ServerContext) => Promise<void>;
  start: (context: ServerContext) => Promise<RunningServer>;
};
