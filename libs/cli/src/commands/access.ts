import { createWriteStream, existsSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, isAppError } from '@millrace/contracts';
import type { AuditEntry } from '@millrace/sdk';
import { ACCESS_FORMAT, createAccessCheck, readAccessFile } from '../audit/access-log.ts';
import type { Context } from '../command.ts';
import { show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';

const PAGE_ROWS = 500;

/** `millrace audit access verify|export`: the gateway's log of who did what. */
export async function runAccess(context: Context): Promise<number> {
  const [, verb] = context.positionals;
  if (verb === 'verify') return await verify(context);
  if (verb === 'export') return await exportTo(context);
  throw new UsageError(`'${verb ?? ''}' is not verify or export; see: millrace audit --help`);
}

/** Rows of the platform up to its newest one at the time of the question, newest first. */
async function* rowsOf(context: Context): AsyncGenerator<AuditEntry> {
  const tenant = textOption(context, 'tenant');
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await context.client.audit.list({
      limit: PAGE_ROWS,
      ...(cursor !== undefined && { cursor }),
      ...(tenant !== undefined && { tenant }),
    });
    yield* page.items;
    cursor = page.nextCursor;
  }
}

async function verify(context: Context): Promise<number> {
  const file = textOption(context, 'file');
  const check = createAccessCheck();
  try {
    const rows = file === undefined ? rowsOf(context) : readAccessFile(resolve(context.cwd, file));
    for await (const row of rows) check.add(row);
    const checked = check.end();
    const given = context.options.head;
    const [kept] = Array.isArray(given) ? given : [];
    if (kept !== undefined && kept !== checked.head && !(await holds(context, file, kept)))
      throw new AppError('log_chain_broken', 'No row of the access log has the head that was kept.');
    show(
      context,
      { verified: true, ...checked },
      () => `verified: ${checked.rows} rows from ${checked.from} on, head ${checked.head}`,
    );
    return exitCodes.ok;
  } catch (error) {
    if (!isAppError(error) || error.code !== 'log_chain_broken') throw error;
    const { code, message } = error;
    show(context, { verified: false, code, message }, () => `NOT verified: ${code}\n${message}`);
    return exitCodes.failed;
  }
}

/** Whether a row has a hash that was kept as head before others came. */
async function holds(context: Context, file: string | undefined, head: string): Promise<boolean> {
  for await (const row of file === undefined ? rowsOf(context) : readAccessFile(resolve(context.cwd, file)))
    if (row.hash === head) return true;
  return false;
}

async function exportTo(context: Context): Promise<number> {
  const out = textOption(context, 'out');
  if (out === undefined) throw new UsageError('--out is missing: the file to write.');
  const target = resolve(context.cwd, out);
  if (existsSync(target)) throw new UsageError(`'${out}' exists already; name another place.`);
  const check = createAccessCheck();
  async function* lines(): AsyncGenerator<string> {
    yield `${JSON.stringify({ format: ACCESS_FORMAT, exportedAt: new Date().toISOString() })}\n`;
    for await (const row of rowsOf(context)) {
      check.add(row);
      yield `${JSON.stringify(row)}\n`;
    }
  }
  try {
    await pipeline(Readable.from(lines()), createWriteStream(target, { flags: 'wx' }));
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
  const checked = check.end();
  show(context, { out: target, ...checked }, () => `${checked.rows} rows, head ${checked.head}: ${target}`);
  return exitCodes.ok;
}
