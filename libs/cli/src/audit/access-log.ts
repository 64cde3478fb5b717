import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { AppError } from '@millrace/contracts';
import { chainHash } from '@millrace/integrity';
import type { AuditEntry } from '@millrace/sdk';
import { UsageError } from '../command.ts';

/** First line of a file with who did what, newest first. */
export const ACCESS_FORMAT = 'millrace-access-log/1';
/** A longer line is none of ours (characters). */
const LINE_CHARS_MAX = 64 * 1024;

/** Of a log that was checked. */
export type CheckedAccess = {
  readonly rows: number;
  /** The first row that is there; those before it were taken by the retention. */
  readonly from: number;
  readonly head: string;
};

/** Checks rows as they come, newest first, each against the one before it. */
export type AccessCheck = {
  /** @throws AppError `log_chain_broken` at the first row that was changed, removed or moved */
  add(row: AuditEntry): void;
  end(): CheckedAccess;
};

export function createAccessCheck(): AccessCheck {
  let rows = 0;
  let newest: AuditEntry | undefined;
  let later: AuditEntry | undefined;
  const broken = (seq: number, what: string): AppError =>
    new AppError('log_chain_broken', `Row ${seq} of the access log ${what}.`);
  return {
    add(row) {
      const { prevHash, hash, ...entry } = row;
      if (chainHash(prevHash, entry) !== hash) throw broken(row.seq, 'was changed after it was written');
      if (later !== undefined && (later.seq !== row.seq + 1 || later.prevHash !== hash))
        throw broken(later.seq, 'does not follow the row before it');
      newest ??= row;
      later = row;
      rows += 1;
    },
    end: () => ({ rows, from: later?.seq ?? 0, head: newest?.hash ?? '' }),
  };
}

/** The rows of an exported log. @throws UsageError for a file that is none */
export async function* readAccessFile(file: string): AsyncGenerator<AuditEntry> {
  let isFirst = true;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    const value = parse(line, file);
    if (isFirst && value.format !== ACCESS_FORMAT)
      throw new UsageError(
        `'${file}' is no exported access log; write one with: millrace audit access export`,
      );
    if (!isFirst) yield value as unknown as AuditEntry;
    isFirst = false;
  }
}

function parse(line: string, file: string): Record<string, unknown> {
  try {
    if (line.length <= LINE_CHARS_MAX) return JSON.parse(line) as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new UsageError(`'${file}' has a line that is no row of an access log.`);
}
