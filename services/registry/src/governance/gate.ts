import type { Outbox } from '@millrace/bus';
import type { LiveStage, Stage } from '@millrace/contracts';
import { AppError, isAppError, ModelVersionRefused } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { ModelRow } from '../models/model.table.ts';
import { createToldLately } from '../verification/told-lately.ts';
import type { VersionRow } from '../versions/version.table.ts';
import type { GovernanceRepository } from './governance.repository.ts';
import type { AllowedDigestRow, ApprovalRow } from './governance.table.ts';
import type { PolicyInForce } from './policy.ts';
import { isLive, isProtected } from './policy.ts';

/** The same refusal is told once in this time, however often a request runs into it (ms). */
const REFUSAL_TOLD_EVERY_MS = 60_000;
/** Refusals that are remembered for that. */
const REFUSALS_MAX = 10_000;
/** What policy says no with. */
const REFUSALS: ReadonlySet<string> = new Set([
  'approval_required',
  'digest_not_allowed',
  'stage_not_servable',
]);

/** The bytes that somebody registered under a name. */
export type Candidate = {
  readonly model: ModelRow;
  readonly version: Pick<VersionRow, 'label' | 'packageDigest' | 'modelDigest' | 'createdBy'>;
};

/** Where a version stands with regard to a stage. */
export type Standing = PolicyInForce & {
  readonly required: number;
  /** All approvals for the stage, and those that count. */
  readonly given: readonly ApprovalRow[];
  readonly counted: readonly ApprovalRow[];
  /** Whose approval does not count. */
  readonly registrants: readonly string[];
  readonly isListEnforced: boolean;
  /** Entries of the allow-lists for its digests. */
  readonly listed: readonly AllowedDigestRow[];
};

export type Gate = ReturnType<typeof createGate>;

/** What policy lets through: to a stage, under an alias, into serving. */
export function createGate(options: {
  database: Database;
  governance: GovernanceRepository;
  outbox: Outbox;
}) {
  const { database, governance, outbox } = options;
  const told = createToldLately({ everyMs: REFUSAL_TOLD_EVERY_MS, rememberedMax: REFUSALS_MAX });

  async function listedFor(
    db: Executor,
    { model, version }: Candidate,
    stage: LiveStage,
  ): Promise<AllowedDigestRow[]> {
    const chains = [model.id, (await governance.tenant(db, model.tenant))?.chainId ?? model.id];
    return governance.allowedFor(db, chains, stage, [version.packageDigest, version.modelDigest]);
  }

  async function standing(db: Executor, candidate: Candidate, stage: LiveStage): Promise<Standing> {
    const { model, version } = candidate;
    const inForce = await governance.policyOf(db, model);
    const all = await governance.approvals(db, model.id, version.packageDigest);
    const given = all.filter((approval) => approval.stage === stage);
    const registrants = [
      ...new Set([version.createdBy, ...(await governance.registrants(db, model.id, version.packageDigest))]),
    ];
    const counted = inForce.policy.registrantMayApprove
      ? given
      : given.filter(({ principal }) => !registrants.includes(principal));
    return {
      ...inForce,
      required: inForce.policy.approvalsRequired[stage],
      given,
      counted,
      registrants,
      isListEnforced: inForce.policy.allowList[stage] === 'enforce',
      listed: await listedFor(db, candidate, stage),
    };
  }

  function assertApproved(
    what: string,
    { model, version }: Candidate,
    stage: LiveStage,
    now: Standing,
    required: number,
  ): void {
    const missing = required - now.counted.length;
    if (missing <= 0) return;
    const names = now.counted.map(({ principal }) => principal);
    const who = now.policy.registrantMayApprove
      ? 'people'
      : `people other than ${now.registrants.join(', ')}`;
    throw new AppError(
      'approval_required',
      `${what} needs ${required} approvals of ${stage} by ${who}; ${version.label} of ${model.name} has ${names.length}${names.length === 0 ? '' : ` (${names.join(', ')})`}, so ${missing} more must approve it.`,
      { details: { stage, required, missing, approvedBy: names, packageDigest: version.packageDigest } },
    );
  }

  function assertListed({ model, version }: Candidate, stage: LiveStage, isListed: boolean): void {
    if (isListed) return;
    throw new AppError(
      'digest_not_allowed',
      `The allow-list of ${stage} has neither digest of ${version.label} of ${model.name}; have its package digest ${version.packageDigest} put on it.`,
      { details: { stage, packageDigest: version.packageDigest, modelDigest: version.modelDigest } },
    );
  }

  return {
    policyOf: governance.policyOf,
    standing,

    /** Gives who approved it for the stage. @throws AppError `approval_required`, `digest_not_allowed` */
    async assertStage(tx: Executor, candidate: Candidate, stage: Stage): Promise<string[]> {
      if (!isLive(stage)) return [];
      const now = await standing(tx, candidate, stage);
      assertApproved(`Stage ${stage}`, candidate, stage, now, now.required);
      assertListed(candidate, stage, !now.isListEnforced || now.listed.length > 0);
      return now.counted.map(({ principal }) => principal);
    },

    /** A protected alias is like production, and needs one approval at least. @throws as `assertStage` */
    async assertAlias(tx: Executor, candidate: Candidate, alias: string): Promise<void> {
      const now = await standing(tx, candidate, 'production');
      if (!isProtected(now.policy, alias)) return;
      assertApproved(`Alias ${alias}`, candidate, 'production', now, Math.max(1, now.required));
      assertListed(candidate, 'production', !now.isListEnforced || now.listed.length > 0);
    },

    /** @throws AppError `approval_required` when the alias is protected */
    async assertAliasFree(tx: Executor, model: ModelRow, alias: string, isApprover: boolean): Promise<void> {
      const { policy } = await governance.policyOf(tx, model);
      if (isApprover || !isProtected(policy, alias)) return;
      throw new AppError(
        'approval_required',
        `Alias ${alias} of ${model.name} is protected; only who has the scope models:approve removes it.`,
      );
    },

    /** @throws AppError `stage_not_servable`, `digest_not_allowed` */
    async assertServable(
      db: Executor,
      candidate: { readonly model: ModelRow; readonly version: VersionRow },
    ): Promise<void> {
      const { model, version } = candidate;
      const { stage } = version;
      if (!isLive(stage)) return;
      const { policy } = await governance.policyOf(db, model);
      if (!policy.servableStages.includes(stage))
        throw new AppError(
          'stage_not_servable',
          `Policy lets versions of ${model.name} serve in ${policy.servableStages.join(', ')}; ${version.label} is in ${stage}.`,
        );
      if (policy.allowList[stage] === 'enforce')
        assertListed(candidate, stage, (await listedFor(db, candidate, stage)).length > 0);
    },

    /** Does something and, if policy refuses it, tells so by an event; the error goes on. */
    async telling<T>(
      { model, version }: { readonly model: ModelRow; readonly version: VersionRow },
      where: 'serving' | 'stage' | 'alias',
      work: () => Promise<T>,
    ): Promise<T> {
      try {
        return await work();
      } catch (error) {
        if (!isAppError(error) || !REFUSALS.has(error.code)) throw error;
        if (!told.isNew(`${version.id} ${where} ${error.code}`)) throw error;
        await database.transaction((tx) =>
          outbox.append(
            tx,
            ModelVersionRefused,
            version.id,
            {
              modelVersionId: version.id,
              modelId: model.id,
              model: model.name,
              version: version.label,
              stage: version.stage,
              packageDigest: version.packageDigest,
              where,
              error: { code: error.code, message: error.message },
            },
            { tenant: model.tenant },
          ),
        );
        throw error;
      }
    },
  };
}
