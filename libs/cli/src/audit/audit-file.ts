import { createReadStream, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { UsageError } from '../command.ts';
import type { AuditRow } from './chain-check.ts';

/** First line of an exported log. */
export const AUDIT_FORMAT = 'millrace-audit-v1';
/** A longer line is no row that the platform writes. */
const LINE_LENGTH_MAX = 8 * 1024 * 1024;

/** A line of an exported log: the format, the beginning of a history, a row of it, its signed head. */
export type AuditLine =
  | { readonly format: string; readonly exportedAt: string }
  | { readonly chain: { readonly chainId: string; readonly name: string } }
  | AuditRow
  | { readonly head: Readonly<Record<string, unknown>> };

/** Reads an exported log line by line. Throws UsageError for a file that is none. */
export async function* readAuditFile(file: string): AsyncGenerator<AuditLine> {
  if (!existsSync(file)) throw new UsageError(`'${file}' does not exist.`);
  let number = 0;
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number += 1;
    const line = parse(text);
    const isFirst = number === 1;
    if (line === undefined || isFirst !== 'format' in line || (isFirst && !isFormat(line)))
      throw new UsageError(`Line ${number} of '${file}' is none of an exported log (${AUDIT_FORMAT}).`);
    yield line;
  }
  if (number === 0) throw new UsageError(`'${file}' is empty.`);
}

const isFormat = (line: AuditLine): boolean => 'format' in line && line.format === AUDIT_FORMAT;

function parse(text: string): AuditLine | undefined {
  if (text.length > LINE_LENGTH_MAX) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as AuditLine)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Heads of histories that somebody keeps, by id. */
export type KeptHeads = Readonly<Record<string, readonly string[]>>;

/** Reads kept heads; none where the file is not there yet. Throws UsageError for a file of another kind. */
export function readKeptHeads(file: string): KeptHeads {
  if (!existsSync(file)) return {};
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    const isHeads = (list: unknown): boolean =>
      Array.isArray(list) && list.every((hash) => typeof hash === 'string');
    if (typeof value === 'object' && value !== null && Object.values(value).every(isHeads))
      return value as KeptHeads;
  } catch {
    // said below
  }
  throw new UsageError(`'${file}' holds no heads; name a new file.`);
}

/** Writes the newest head of each history, whole or not at all. */
export function writeKeptHeads(file: string, heads: KeptHeads): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(heads, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
