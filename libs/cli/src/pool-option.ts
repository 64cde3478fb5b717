import type { WorkerPool } from '@millrace/contracts';
import { workerPools } from '@millrace/contracts';
import type { Context } from './command.ts';
import { textOption, UsageError } from './command.ts';

/** The pools as `--pool` takes them. */
export const POOLS = workerPools.join('|');

/** What `--pool` names, `cpu` without it; throws a UsageError that lists the pools. */
export function poolOption(context: Context): WorkerPool {
  const name = textOption(context, 'pool') ?? 'cpu';
  const pool = workerPools.find((known) => known === name);
  if (pool === undefined) throw new UsageError(`--pool is ${workerPools.join(', ')}, not '${name}'.`);
  return pool;
}
