import type { LiveStage } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { ApprovalAnswer, ApprovedModel, SignatureBundle } from '@millrace/integrity';
import { approvalStatement, signStatement } from '@millrace/integrity';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { FoundVersion } from '../versions/version.service.ts';
import type { Gate, Standing } from './gate.ts';

/** Models that one answer speaks about. */
const MODELS_MAX = 100;

export type ApprovalProver = ReturnType<typeof createApprovalProver>;

/** When the last condition came true; null while one is missing. A person is needed even where policy demands none. */
function approvedSince({ required, counted, isListEnforced, listed }: Standing): Date | null {
  const deciding = counted[Math.max(1, required) - 1];
  if (deciding === undefined) return null;
  if (!isListEnforced) return deciding.approvedAt;
  const times = listed.map(({ allowedAt }) => allowedAt.getTime());
  return times.length === 0 ? null : new Date(Math.max(deciding.approvedAt.getTime(), Math.min(...times)));
}

/** Answers "is this digest approved for a stage, by whom, since when", signed, for whoever cannot ask. */
export function createApprovalProver(options: {
  database: Database;
  models: ModelRepository;
  versionRows: VersionRepository;
  gate: Gate;
  changeLog: ChangeLog;
  key: SigningKey;
}) {
  const { database, models, versionRows, gate, changeLog, key } = options;

  async function about(found: FoundVersion, stage: LiveStage): Promise<ApprovedModel> {
    const { model, version } = found;
    // under the lock of the model, so that approvals and head are of one moment
    return database.transaction(async (tx) => {
      await models.lock(tx, model.id);
      const standing = await gate.standing(tx, found, stage);
      const head = await changeLog.head(tx, model.id);
      const since = approvedSince(standing);
      return {
        model: model.name,
        modelId: model.id,
        version: version.label,
        modelVersionId: version.id,
        packageDigest: version.packageDigest,
        currentStage: version.stage,
        approved: since !== null,
        since: since?.toISOString() ?? null,
        required: standing.required,
        approvals: standing.given.map((approval) => ({
          principal: approval.principal,
          at: approval.approvedAt.toISOString(),
          comment: approval.comment,
          counts: standing.counted.includes(approval),
        })),
        policy: { ...standing.policy },
        policySource: standing.source,
        isListEnforced: standing.isListEnforced,
        isListed: standing.listed.length > 0,
        history: { seq: head?.seq ?? 0, head: head?.hash ?? '' },
      };
    });
  }

  return {
    /**
     * The answer and its signature. A digest that nobody registered is not approved.
     * @throws AppError `invalid_request` when too many models have the digest
     */
    async prove(
      tenant: string,
      asked: { digest: string; stage: LiveStage; model: string | undefined },
    ): Promise<{ answer: ApprovalAnswer; bundle: SignatureBundle }> {
      const { digest, stage, model } = asked;
      const found = await versionRows.findByDigest(database.db, tenant, digest, {
        model,
        limit: MODELS_MAX + 1,
      });
      if (found.length > MODELS_MAX)
        throw new AppError(
          'invalid_request',
          `Over ${MODELS_MAX} models have this digest; name one: ?model=`,
        );
      const answers: ApprovedModel[] = [];
      for (const one of found) answers.push(await about(one, stage));
      const answer = {
        digest,
        stage,
        approved: answers.length > 0 && answers.every(({ approved }) => approved),
        issuedAt: new Date().toISOString(),
        models: answers,
      };
      return { answer, bundle: await signStatement(approvalStatement(answer), key.signer) };
    },
  };
}
