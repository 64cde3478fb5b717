import type { WorkerPool } from '@millrace/contracts';
import { workerPools } from '@millrace/contracts';
import type { Context } from './command.ts';
import { textOption, UsageError } from './command.ts';

/** The pools as `--pool` takes them. */
export const POOLS = workerPools.join('|');

/** What `--pool` names, undefined without it: the pool of the recipe. Throws a UsageError that lists the pools. */
export function poolOption(context: Context): WorkerPool | undefined {
  const name = textOption(context, 'pool');
  if (name === undefined) return undefined;
  const pool = workerPools.find((known) => known === name);
  if (pool === undefined) throw new UsageError(`--pool is ${workerPools.join(', ')}, not '${name}'.`);
  return pool;
}
