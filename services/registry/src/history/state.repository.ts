import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { ModelTables } from '../models/model.table.ts';
import type { VersionTables } from '../versions/version.table.ts';
import type { ChangeEntry, HistoryTables } from './change-log.table.ts';
import type { FactKind } from './facts.ts';

/** What held at some time, and the entry of the history that had made it so. */
export type PastFact = { readonly kind: FactKind; readonly key: string; readonly entry: ChangeEntry };

/** A version that was in production, and the entry that had moved it there. */
export type PastProduction = {
  readonly modelId: string;
  readonly model: string;
  readonly modelVersionId: string;
  readonly entry: ChangeEntry;
  readonly packageDigest: string | null;
  readonly dataset: Readonly<Record<string, unknown>> | null;
  /** Whose approvals counted when it was moved there. */
  readonly approvedBy: readonly string[];
};

export type StateRepository = ReturnType<typeof createStateRepository>;

/**
 * Reads what held at a time. The index says which row of the log decides; what is said comes from the log itself.
 * The time of a read grows with what held then, not with the length of the history (docs/adr/0018).
 */
export function createStateRepository(
  tables: HistoryTables & Pick<ModelTables, 'models'> & Pick<VersionTables, 'modelVersions'>,
) {
  const { changeLog, changeFacts, models, modelVersions } = tables;
  const instant = (at: Date): SQL => sql`${at.toISOString()}::timestamptz`;

  return {
    /** Head of a chain at a time; undefined before its first row. */
    async headAt(
      db: Executor,
      chainId: string,
      at: Date,
    ): Promise<{ seq: number; hash: string } | undefined> {
      const { rows } = await db.execute<{ seq: number; hash: string }>(sql`
        select seq, hash from ${changeLog}
        where model_id = ${chainId} and at <= ${instant(at)}
        order by at desc, seq desc limit 1`);
      return rows[0];
    },

    /** Everything that held in one chain, of some kinds, up to `limit`: one look into the index for each key. */
    async factsAt(
      db: Executor,
      chainId: string,
      at: Date,
      options: { kinds: readonly FactKind[]; limit: number },
    ): Promise<PastFact[]> {
      const kinds = sql.join(
        options.kinds.map((kind) => sql`${kind}`),
        sql`, `,
      );
      const { rows } = await db.execute<PastFact & Record<string, unknown>>(sql`
        with recursive keys(kind, key) as (
          (select kind, key from ${changeFacts} where model_id = ${chainId} order by kind, key limit 1)
          union all
          select next.kind, next.key from keys cross join lateral (
            select f.kind, f.key from ${changeFacts} f
            where f.model_id = ${chainId} and (f.kind, f.key) > (keys.kind, keys.key)
            order by f.kind, f.key limit 1) next
        )
        select keys.kind, keys.key, log.entry
        from keys
        cross join lateral (
          select f.seq, f.value from ${changeFacts} f
          where f.model_id = ${chainId} and f.kind = keys.kind and f.key = keys.key
            and f.from_at <= ${instant(at)}
          order by f.from_at desc, f.seq desc limit 1) fact
        join ${changeLog} log on log.model_id = ${chainId} and log.seq = fact.seq
        where keys.kind in (${kinds}) and fact.value is not null
        limit ${options.limit}`);
      return rows;
    },

    /** What was in production in a whole tenant, in the order of models and versions. */
    async productionAt(
      db: Executor,
      tenant: string,
      at: Date,
      options: { limit: number; after: { modelId: string; modelVersionId: string } | undefined },
    ): Promise<PastProduction[]> {
      const { after } = options;
      const rest =
        after === undefined
          ? sql``
          : sql`and (f.model_id, f.key) > (${after.modelId}, ${after.modelVersionId})`;
      const { rows } = await db.execute<PastProduction & Record<string, unknown>>(sql`
        with shown as materialized (
          select f.model_id, f.key, f.seq from ${changeFacts} f
          join ${models} m on m.id = f.model_id and m.tenant = ${tenant}
          where f.kind = 'stage' and f.value = 'production'
            and tstzrange(f.from_at, f.to_at) @> ${instant(at)} ${rest}
          order by f.model_id, f.key limit ${options.limit}
        )
        , decided as (
          select shown.model_id, shown.key, log.entry, v.lineage,
            coalesce(log.entry ->> 'packageDigest', v.package_digest) as package_digest
          from shown
          join ${changeLog} log on log.model_id = shown.model_id and log.seq = shown.seq
          left join ${modelVersions} v on v.id = shown.key::uuid
        )
        select model_id as "modelId", entry ->> 'model' as model, key as "modelVersionId", entry,
          package_digest as "packageDigest", lineage -> 'dataset' as dataset,
          coalesce(entry -> 'approvedBy', '[]'::jsonb) as "approvedBy"
        from decided
        order by model_id, key`);
      return rows;
    },
  };
}
