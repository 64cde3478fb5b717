import { createHash } from 'node:crypto';
import { advisoryKey } from '@millrace/database';
import type { PoolClient } from 'pg';
import { plainText } from '../postgres-text.ts';

/** Held by those who store predictions of users, and alone by those who say that a user's data is to go. */
export const ERASURE_LOCK = advisoryKey('monitoring:erasure');

/** What stands for a user where the name itself must not be kept: SHA-256 (hex) of tenant and user. */
export function userDigest(tenant: string, userId: string): string {
  return createHash('sha256')
    .update(JSON.stringify([tenant, plainText(userId)]))
    .digest('hex');
}

/** A prediction's user and time (ms since 1970). */
export type OfUser = { readonly userId: string | undefined; readonly at: number };

/**
 * Places of those predictions whose user's data was erased after they were made. Until the transaction of `client` ends,
 * no further erasure begins, so that none misses what is stored meanwhile.
 */
export async function erasedAmong(
  client: PoolClient,
  tenant: string,
  predictions: readonly OfUser[],
): Promise<ReadonlySet<number>> {
  const digests = new Map<string, string>();
  for (const { userId } of predictions)
    if (userId !== undefined && !digests.has(userId)) digests.set(userId, userDigest(tenant, userId));
  if (digests.size === 0) return new Set();
  await client.query('select pg_advisory_xact_lock_shared($1)', [ERASURE_LOCK]);
  const { rows } = await client.query<{ digest: string; erasedAt: number }>(
    `select user_digest as digest, (extract(epoch from max(erased_at)) * 1000)::float8 as "erasedAt"
     from monitoring.erasures where tenant = $1 and user_digest = any($2) group by user_digest`,
    [tenant, [...digests.values()]],
  );
  if (rows.length === 0) return new Set();
  const erasedAt = new Map(rows.map((row) => [row.digest, row.erasedAt]));
  const isErased = ({ userId, at }: OfUser): boolean =>
    userId !== undefined && at <= (erasedAt.get(digests.get(userId) ?? '') ?? Number.NEGATIVE_INFINITY);
  return new Set(predictions.flatMap((one, index) => (isErased(one) ? [index] : [])));
}
