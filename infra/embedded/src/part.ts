import type { ManagedProcess } from './process.ts';

/** What a part is: a real server, one of our services, or a Python worker. */
export type PartKind = 'server' | 'service' | 'worker';

/** One process of the platform; `start` may be called again after it has ended, and keeps its address. */
export type Part = {
  readonly name: string;
  readonly kind: PartKind;
  /** Port it listens on; null for a worker. */
  readonly port: number | null;
  readonly logFile: string;
  start(): Promise<ManagedProcess>;
};
