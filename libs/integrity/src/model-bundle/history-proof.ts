import { AppError } from '@millrace/contracts';
import { verifyStatement } from '../attestation.ts';
import type { BundleInput, VerifyOptions } from '../bundle.ts';
import { isSha256 } from '../digest.ts';
import type { ChainRow } from '../hash-chain.ts';
import { verifyChain } from '../hash-chain.ts';
import type { Statement, StatementSubject } from '../statement.ts';
import { isObject, malformed, STATEMENT_TYPE } from '../statement.ts';
import type { TrustedKeys } from '../trust.ts';

/** Predicate type of the statement that binds a version's name and history to its package. */
export const HISTORY_TYPE = 'urn:millrace:history:v1';
/** Most rows of a history that a proof carries. */
export const HISTORY_ROWS_MAX = 10_000;

/** A version and its place in the history of its model, as the registry states it. */
export type HistoryClaim = {
  readonly model: string;
  readonly version: string;
  readonly modelVersionId: string;
  /** Hash before the first row of the proof. */
  readonly after: string;
  /** Hash of the last row of the proof. */
  readonly head: string;
  readonly rows: number;
  /** Whether there was no later row when this was signed. */
  readonly isComplete: boolean;
  /** When this was signed, ISO 8601. */
  readonly at: string;
};

/** Builds the statement of a history proof; sign it with signStatement. */
export function historyStatement(subjects: readonly StatementSubject[], claim: HistoryClaim): Statement {
  return { _type: STATEMENT_TYPE, subject: subjects, predicateType: HISTORY_TYPE, predicate: { ...claim } };
}

/**
 * Checks that rows are the very ones that were signed, that they form a chain, and that the first is the registration
 * of the version with this package digest. Throws what verifyStatement throws, and `log_chain_broken`.
 */
export function verifyHistoryProof(
  bundle: BundleInput,
  trusted: TrustedKeys,
  proof: { rows: readonly ChainRow[]; packageDigest: string } & VerifyOptions,
): HistoryClaim {
  const { rows, packageDigest } = proof;
  const { statement } = verifyStatement(bundle, trusted, {
    ...proof,
    predicateType: HISTORY_TYPE,
    subjectDigests: [packageDigest],
  });
  const claim = readClaim(statement.predicate);
  const [first] = rows;
  const { length } = verifyChain(rows, { after: claim.after, head: claim.head });
  const entry = first?.entry;
  const isRegistration =
    entry?.action === 'registered' &&
    entry.packageDigest === packageDigest &&
    entry.modelVersionId === claim.modelVersionId &&
    entry.version === claim.version &&
    entry.model === claim.model;
  if (length === claim.rows && isRegistration) return claim;
  throw new AppError(
    'log_chain_broken',
    'The history does not begin with the registration of this version; export the bundle again.',
  );
}

function readClaim(predicate: Readonly<Record<string, unknown>>): HistoryClaim {
  const { model, version, modelVersionId, after, head, rows, isComplete, at } = predicate;
  const texts = [model, version, modelVersionId, at].every((text) => typeof text === 'string');
  if (!texts || !isSha256(after) || !isSha256(head) || typeof isComplete !== 'boolean')
    throw malformed('its statement about the history lacks a field');
  if (!Number.isSafeInteger(rows)) throw malformed('its statement about the history counts no rows');
  return predicate as HistoryClaim;
}

/** Reads rows from JSON. Throws `signature_malformed` for what are none. */
export function readChainRows(value: unknown): ChainRow[] {
  if (!Array.isArray(value) || value.length > HISTORY_ROWS_MAX)
    throw malformed(`its history is no list of at most ${HISTORY_ROWS_MAX} rows`);
  return value.map((row) => {
    if (!isObject(row) || !isSha256(row.prevHash) || !isSha256(row.hash) || !isObject(row.entry))
      throw malformed('a row of its history lacks a field');
    return { prevHash: row.prevHash, hash: row.hash, entry: row.entry };
  });
}
