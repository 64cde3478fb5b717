import { isDeepStrictEqual } from 'node:util';
import type { LiveStage, PolicySpec } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { ChangeAction } from '../history/change-log.table.ts';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ModelRow } from '../models/model.table.ts';
import { assertText } from '../models/tags.ts';
import type { GovernanceRepository } from './governance.repository.ts';

/** What a policy or list is for: one model, or all of a tenant that have none of their own. */
export type GovernanceScope = { readonly tenant: string; readonly model?: ModelRow };

/** A digest that is put on an allow-list, or taken off it. */
export type ListChange = { readonly stage: LiveStage; readonly digest: string; readonly comment: string };

export type PolicyService = ReturnType<typeof createPolicyService>;

/** Policies and allow-lists; every change is a row of the history of the model or tenant. */
export function createPolicyService(options: {
  database: Database;
  models: ModelRepository;
  governance: GovernanceRepository;
  changeLog: ChangeLog;
}) {
  const { database, models, governance, changeLog } = options;

  /** Locks what the scope is about and gives its chain and policy. */
  async function lock(
    tx: Executor,
    { tenant, model }: GovernanceScope,
  ): Promise<{ chainId: string; policy: PolicySpec | null }> {
    if (model === undefined) return governance.lockTenant(tx, tenant);
    await models.lock(tx, model.id);
    if ((await models.findById(tx, model.id)) === undefined)
      throw new AppError('model_not_found', `There is no model ${model.name} any more.`);
    return { chainId: model.id, policy: (await governance.modelPolicy(tx, model.id)) ?? null };
  }

  async function write(
    tx: Executor,
    chainId: string,
    { model }: GovernanceScope,
    change: { action: ChangeAction; by: string } & Record<string, unknown>,
  ): Promise<void> {
    await changeLog.append(tx, chainId, { ...change, ...(model && { model: model.name }) });
  }

  return {
    /**
     * Sets or, with null, removes a policy; an equal one changes nothing.
     * @throws AppError `model_not_found`, `invalid_request`
     */
    async setPolicy(scope: GovernanceScope, policy: PolicySpec | null, by: string): Promise<void> {
      for (const alias of policy?.protectedAliases ?? []) assertText('protected alias', alias);
      await database.transaction(async (tx) => {
        const { chainId, policy: before } = await lock(tx, scope);
        if (isDeepStrictEqual(before, policy)) return;
        if (scope.model === undefined) await governance.setTenantPolicy(tx, scope.tenant, policy);
        else await governance.setModelPolicy(tx, scope.model.id, policy, by);
        const change =
          policy === null
            ? ({ action: 'policy-removed', by } as const)
            : ({ action: 'policy-set', by, policy } as const);
        await write(tx, chainId, scope, change);
      });
    },

    /** Puts a digest on an allow-list; false when it is there. @throws AppError `model_not_found` */
    async allow(scope: GovernanceScope, change: ListChange, by: string): Promise<boolean> {
      assertText('comment', change.comment);
      return database.transaction(async (tx) => {
        const { chainId } = await lock(tx, scope);
        const isNew = await governance.allow(tx, { chainId, ...change, allowedBy: by });
        if (isNew) await write(tx, chainId, scope, { action: 'digest-allowed', by, ...change });
        return isNew;
      });
    },

    /** Takes a digest off an allow-list; one that is not on it changes nothing. @throws AppError `model_not_found` */
    async disallow(
      scope: GovernanceScope,
      { stage, digest }: Omit<ListChange, 'comment'>,
      by: string,
    ): Promise<void> {
      await database.transaction(async (tx) => {
        const { chainId } = await lock(tx, scope);
        if (await governance.disallow(tx, chainId, stage, digest))
          await write(tx, chainId, scope, { action: 'digest-disallowed', by, stage, digest });
      });
    },
  };
}
