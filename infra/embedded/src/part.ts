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
  /** Resolves when it is ready; an aborted signal ends it and rejects. */
  start(signal?: AbortSignal): Promise<ManagedProcess>;
};
