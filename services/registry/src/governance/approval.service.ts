import type { LiveStage } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import { assertText } from '../models/tags.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { FoundVersion } from '../versions/version.service.ts';
import type { Gate, Standing } from './gate.ts';
import type { GovernanceRepository } from './governance.repository.ts';

export type ApprovalService = ReturnType<typeof createApprovalService>;

/** Who approves which bytes for which stage. */
export function createApprovalService(options: {
  database: Database;
  models: ModelRepository;
  versionRows: VersionRepository;
  governance: GovernanceRepository;
  gate: Gate;
  changeLog: ChangeLog;
}) {
  const { database, models, versionRows, governance, gate, changeLog } = options;

  async function lock(tx: Executor, { model, version }: FoundVersion): Promise<void> {
    await models.lock(tx, model.id);
    if ((await versionRows.findById(tx, version.id)) === undefined)
      throw new AppError('version_not_found', `Version ${version.label} was withdrawn or deleted meanwhile.`);
  }

  const about = ({ model, version }: FoundVersion, stage: LiveStage, principal: string) => ({
    model: model.name,
    modelVersionId: version.id,
    version: version.label,
    packageDigest: version.packageDigest,
    stage,
    principal,
  });

  return {
    standing: (found: FoundVersion, stage: LiveStage): Promise<Standing> =>
      gate.standing(database.db, found, stage),

    /**
     * Approves the bytes of a version for a stage; a second time by the same principal changes nothing.
     * @throws AppError `own_approval`, `version_not_found`, `invalid_request`
     */
    async approve(
      found: FoundVersion,
      stage: LiveStage,
      comment: string,
      by: string,
    ): Promise<{ isNew: boolean }> {
      assertText('comment', comment);
      return database.transaction(async (tx) => {
        await lock(tx, found);
        const now = await gate.standing(tx, found, stage);
        if (!now.policy.registrantMayApprove && now.registrants.includes(by))
          throw new AppError(
            'own_approval',
            `${by} registered ${found.version.label} of ${found.model.name}; ask somebody else to approve it.`,
          );
        const { packageDigest } = found.version;
        const isNew = await governance.addApproval(tx, {
          modelId: found.model.id,
          packageDigest,
          stage,
          principal: by,
          comment,
          approvedAt: new Date(),
        });
        if (isNew)
          await changeLog.append(tx, found.model.id, {
            action: 'approved',
            by,
            comment,
            ...about(found, stage, by),
          });
        return { isNew };
      });
    },

    /** @throws AppError `approval_not_found`, `version_not_found` */
    async revoke(found: FoundVersion, stage: LiveStage, principal: string, by: string): Promise<void> {
      await database.transaction(async (tx) => {
        await lock(tx, found);
        const { packageDigest } = found.version;
        const row = { modelId: found.model.id, packageDigest, stage, principal };
        if (!(await governance.removeApproval(tx, row)))
          throw new AppError(
            'approval_not_found',
            `${principal} has not approved ${found.version.label} of ${found.model.name} for ${stage}.`,
          );
        await changeLog.append(tx, found.model.id, {
          action: 'approval-revoked',
          by,
          ...about(found, stage, principal),
        });
      });
    },
  };
}
