import { AppError } from '@millrace/contracts';
import { canonicalJson } from './canonical-json.ts';
import { sha256Hex } from './digest.ts';

/** What the first row of a chain has as its previous hash. */
export const CHAIN_GENESIS = '0'.repeat(64);

/** One row of an append-only log; `entry` holds JSON only (dates as strings), so that it survives a database. */
export type ChainRow = {
  readonly prevHash: string;
  readonly hash: string;
  readonly entry: Readonly<Record<string, unknown>>;
};

/** The hash of a row: SHA-256 of the canonical JSON of `{"entry": …, "prev": prevHash}`. */
export function chainHash(prevHash: string, entry: Readonly<Record<string, unknown>>): string {
  return sha256Hex(canonicalJson({ prev: prevHash, entry }));
}

/**
 * Recomputes a chain and returns its head. `after` is the head of the rows before (default: the beginning), so a long
 * log is checked in pieces; `head`, noted elsewhere, also detects rows cut from the end.
 * Throws `log_chain_broken` with the index of the first row that does not fit.
 */
export function verifyChain(
  rows: Iterable<ChainRow>,
  options: { after?: string; head?: string } = {},
): { head: string; length: number } {
  let head = options.after ?? CHAIN_GENESIS;
  let length = 0;
  for (const row of rows) {
    if (row.prevHash !== head) throw broken(length, 'does not follow the row before it');
    if (chainHash(head, row.entry) !== row.hash) throw broken(length, 'was changed after it was written');
    head = row.hash;
    length += 1;
  }
  if (options.head !== undefined && options.head !== head) throw broken(length, 'is missing from the end');
  return { head, length };
}

function broken(index: number, what: string): AppError {
  return new AppError('log_chain_broken', `Row ${index} of the log ${what}.`, { details: { index } });
}
