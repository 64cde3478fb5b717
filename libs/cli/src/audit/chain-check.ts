import { AppError, isAppError } from '@millrace/contracts';
import type { ChainRow, HistoryHead } from '@millrace/integrity';
import {
  CHAIN_GENESIS,
  HISTORY_HEAD_TYPE,
  readHistoryHead,
  verifyChain,
  verifyStatement,
} from '@millrace/integrity';
import type { Trusted } from '../bundles/trusted.ts';

/** A row with its place. */
export type AuditRow = ChainRow & { readonly seq: number };

/** What was found of one history. */
export type CheckedChain = {
  readonly chainId: string;
  readonly name: string;
  readonly rows: number;
  readonly head: string;
};

/** Checks one history row by row, in pieces of any size, and holds no more than the last hash. */
export type ChainCheck = {
  /** Throws `log_chain_broken`. */
  add(rows: readonly AuditRow[]): void;
  /** Compares with the signed head, and with hashes that somebody kept. Throws `log_chain_broken` and those of a signature. */
  end(signed: Readonly<Record<string, unknown>>): CheckedChain;
};

/** `kept` are hashes that must be among those of the rows: heads that were noted before. */
export function createChainCheck(
  chain: { chainId: string; name: string },
  trusted: Trusted,
  kept: readonly string[],
): ChainCheck {
  const { chainId, name } = chain;
  const unseen = new Set(kept.filter((hash) => hash !== CHAIN_GENESIS));
  let head = CHAIN_GENESIS;
  let rows = 0;

  const broken = (what: string): AppError =>
    new AppError('log_chain_broken', `The history of ${name} ${what}`, { details: { chainId } });

  function link(row: AuditRow): void {
    const place = rows + 1;
    const there = row.seq === place ? row.entry.seq : row.seq;
    if (there !== place)
      throw broken(`has row ${String(there)} where row ${place} belongs: a row was removed or moved.`);
    try {
      head = verifyChain([row], { after: head }).head;
    } catch (error) {
      if (!isAppError(error)) throw error;
      throw broken(`is broken at row ${place}, which was changed, or the one before it was.`);
    }
    rows = place;
    unseen.delete(head);
  }

  function assertHead(signed: HistoryHead): void {
    if (signed.chainId !== chainId) throw broken(`came with the head of another, ${signed.chainId}.`);
    if (signed.seq === rows && signed.head === head) return;
    throw broken(`ends at row ${rows} (${head.slice(0, 12)}), the signed head at row ${signed.seq}.`);
  }

  return {
    add: (list) => list.forEach(link),
    end(signed) {
      const { statement } = verifyStatement(signed, trusted.pem, {
        predicateType: HISTORY_HEAD_TYPE,
        at: trusted.at,
      });
      assertHead(readHistoryHead(statement));
      const [lost] = unseen;
      if (lost !== undefined)
        throw broken(
          `has no row with the hash ${lost}, which was kept: rows were removed from its end, or all of it was written anew.`,
        );
      return { chainId, name, rows, head };
    },
  };
}
