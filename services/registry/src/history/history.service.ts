import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HistoryHead, SignatureBundle } from '@millrace/integrity';
import { CHAIN_GENESIS, historyHeadStatement, signStatement } from '@millrace/integrity';
import type { GovernanceRepository } from '../governance/governance.repository.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { ChangeLog } from './change-log.ts';
import type { FactKind } from './facts.ts';
import type { PastProduction, StateRepository } from './state.repository.ts';
import type { PastState } from './state.ts';
import { stateOf } from './state.ts';

/** Versions, aliases, approvals and digests that one answer about the past may hold together. */
export const STATE_FACTS_MAX = 10_000;

const OF_MODEL: readonly FactKind[] = ['stage', 'alias', 'approval', 'allowed', 'policy', 'rollout'];
const OF_TENANT: readonly FactKind[] = ['allowed', 'policy'];

/** A history that somebody may read: of a model that is or was there, or of the tenant itself. */
export type Chain = {
  readonly chainId: string;
  readonly model: string | null;
  readonly deletedAt: Date | null;
};

export type HistoryService = ReturnType<typeof createHistoryService>;

/** Histories as such, their signed heads, and what held when. */
export function createHistoryService(options: {
  database: Database;
  models: ModelRepository;
  governance: GovernanceRepository;
  changeLog: ChangeLog;
  states: StateRepository;
  key: SigningKey;
}) {
  const { database, models, governance, changeLog, states, key } = options;

  return {
    /** The histories of a tenant, its own among them, in the order of their ids. */
    async chains(tenant: string, page: { limit: number; after: string | undefined }): Promise<Chain[]> {
      const own = await governance.tenant(database.db, tenant);
      const rows = await models.listAll(database.db, tenant, page);
      const chains: Chain[] = rows.map(({ id, name, deletedAt }) => ({
        chainId: id,
        model: name,
        deletedAt,
      }));
      if (own !== undefined && (page.after === undefined || own.chainId > page.after))
        chains.push({ chainId: own.chainId, model: null, deletedAt: null });
      return chains.sort((a, b) => (a.chainId < b.chainId ? -1 : 1)).slice(0, page.limit);
    },

    /** @throws AppError `model_not_found` for a chain that the tenant does not have */
    async chain(tenant: string, chainId: string): Promise<Chain> {
      const own = await governance.tenant(database.db, tenant);
      if (own?.chainId === chainId) return { chainId, model: null, deletedAt: null };
      const row = await models.findAny(database.db, tenant, chainId);
      if (row === undefined) throw new AppError('model_not_found', `There is no history ${chainId}.`);
      return { chainId, model: row.name, deletedAt: row.deletedAt };
    },

    rows: (chainId: string, afterSeq: number, limit: number) =>
      changeLog.after(database.db, chainId, afterSeq, limit),

    /** The present head of a chain, signed: who keeps it notices a chain that was cut or written anew. */
    async head({ chainId, model }: Chain): Promise<{ head: HistoryHead; bundle: SignatureBundle }> {
      const last = await changeLog.head(database.db, chainId);
      const head = {
        chainId,
        model,
        seq: last?.seq ?? 0,
        head: last?.hash ?? CHAIN_GENESIS,
        issuedAt: new Date().toISOString(),
      };
      return { head, bundle: await signStatement(historyHeadStatement(head), key.signer) };
    },

    /**
     * What was so with a model at a time, deleted or not by now.
     * @throws AppError `model_not_found` when there was no such model then
     */
    async stateAt(
      tenant: string,
      name: string,
      at: Date,
    ): Promise<PastState & { head: { seq: number; hash: string }; isComplete: boolean }> {
      const { db } = database;
      const model = await models.findAt(db, tenant, name, at);
      const head = model === undefined ? undefined : await states.headAt(db, model.id, at);
      if (model === undefined || head === undefined)
        throw new AppError('model_not_found', `There was no model ${name} at ${at.toISOString()}.`);
      const own = await governance.tenant(db, tenant);
      const limit = STATE_FACTS_MAX + 1;
      const facts = await states.factsAt(db, model.id, at, { kinds: OF_MODEL, limit });
      const ofTenant =
        own === undefined ? [] : await states.factsAt(db, own.chainId, at, { kinds: OF_TENANT, limit });
      const isComplete = facts.length < limit && ofTenant.length < limit;
      return { ...stateOf(facts, ofTenant), head, isComplete };
    },

    productionAt: (
      tenant: string,
      at: Date,
      page: { limit: number; after: { modelId: string; modelVersionId: string } | undefined },
    ): Promise<PastProduction[]> => states.productionAt(database.db, tenant, at, page),
  };
}
