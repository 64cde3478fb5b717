import { isSha256 } from './digest.ts';
import type { Statement } from './statement.ts';
import { malformed, STATEMENT_TYPE } from './statement.ts';

/** Predicate type of the signed answer to "is this digest approved?". */
export const APPROVAL_TYPE = 'urn:millrace:approval:v1';
/** Predicate type of the signed head of a history. */
export const HISTORY_HEAD_TYPE = 'urn:millrace:history-head:v1';

/** Where a digest stands in one model. */
export type ApprovedModel = {
  readonly model: string;
  readonly modelId: string;
  readonly version: string;
  readonly modelVersionId: string;
  readonly packageDigest: string;
  /** The stage that the version is in now. */
  readonly currentStage: string;
  readonly approved: boolean;
  /** When the last condition came true; null while it is not approved. */
  readonly since: string | null;
  /** Approvals that policy demands; one at least is needed to be approved. */
  readonly required: number;
  readonly approvals: readonly {
    readonly principal: string;
    readonly at: string;
    readonly comment: string;
    readonly counts: boolean;
  }[];
  readonly policy: Readonly<Record<string, unknown>>;
  readonly policySource: string;
  readonly isListEnforced: boolean;
  readonly isListed: boolean;
  /** Head of the history of the model when this was signed. */
  readonly history: { readonly seq: number; readonly head: string };
};

/** The answer: approved means by every model that has the digest. */
export type ApprovalAnswer = {
  readonly digest: string;
  readonly stage: string;
  readonly approved: boolean;
  readonly issuedAt: string;
  readonly models: readonly ApprovedModel[];
};

/** The last row of a history. */
export type HistoryHead = {
  readonly chainId: string;
  /** Null for the history of a tenant. */
  readonly model: string | null;
  readonly seq: number;
  readonly head: string;
  readonly issuedAt: string;
};

/** Builds the statement of an answer; sign it with signStatement. */
export function approvalStatement(answer: ApprovalAnswer): Statement {
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name: 'digest', digest: { sha256: answer.digest } }],
    predicateType: APPROVAL_TYPE,
    predicate: { ...answer },
  };
}

/** Reads what a verified statement answers. Throws `signature_malformed` for another shape or another digest. */
export function readApproval({ subject, predicate }: Statement): ApprovalAnswer {
  const { digest, stage, approved, issuedAt, models } = predicate;
  const isWhole =
    typeof stage === 'string' &&
    typeof approved === 'boolean' &&
    typeof issuedAt === 'string' &&
    Array.isArray(models);
  if (!isWhole || subject.length !== 1 || subject[0]?.digest.sha256 !== digest)
    throw malformed('it is no answer about one digest');
  return predicate as ApprovalAnswer;
}

/** Builds the statement of a head; sign it with signStatement. */
export function historyHeadStatement(head: HistoryHead): Statement {
  return {
    _type: STATEMENT_TYPE,
    subject: [{ name: `history/${head.chainId}`, digest: { sha256: head.head } }],
    predicateType: HISTORY_HEAD_TYPE,
    predicate: { ...head },
  };
}

/** Reads the head of a verified statement. Throws `signature_malformed` for another shape. */
export function readHistoryHead({ subject, predicate }: Statement): HistoryHead {
  const { chainId, seq, head, issuedAt } = predicate;
  const isWhole =
    typeof chainId === 'string' &&
    Number.isSafeInteger(seq) &&
    isSha256(head) &&
    typeof issuedAt === 'string';
  if (!isWhole || subject[0]?.digest.sha256 !== head) throw malformed('it is no head of a history');
  return predicate as HistoryHead;
}
