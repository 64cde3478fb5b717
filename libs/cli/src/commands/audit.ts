import { createWriteStream, existsSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, isAppError } from '@millrace/contracts';
import type { HistoryChain, HistoryRow } from '@millrace/sdk';
import type { KeptHeads } from '../audit/audit-file.ts';
import { AUDIT_FORMAT, readAuditFile, readKeptHeads, writeKeptHeads } from '../audit/audit-file.ts';
import type { ChainCheck, CheckedChain } from '../audit/chain-check.ts';
import { createChainCheck } from '../audit/chain-check.ts';
import type { Trusted } from '../bundles/trusted.ts';
import { TRUST_HELP, trustedBy, trustOptions } from '../bundles/trusted.ts';
import type { Command, Context } from '../command.ts';
import { show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { table } from '../format.ts';
import { runAccess } from './access.ts';

const PAGE_ROWS = 500;
const REDRAW_MS = 200;
const HASH = /^[0-9a-f]{64}$/;

export const auditCommand: Command = {
  name: 'audit',
  summary: 'check the histories of models or the log of who did what, or write them into a file',
  help: `millrace audit verify [MODEL]              reads the history of a model (default: all, deleted ones too), computes
                                           every hash anew, checks the signed head
millrace audit verify --file FILE          the same of an exported log, without the platform
millrace audit export [MODEL] --out FILE   writes the histories and their signed heads
millrace audit access verify [--file FILE] the gateway's log of who did what in a tenant: every hash anew
millrace audit access export --out FILE    writes that log, newest row first

Exits 1 at the first row that was edited, removed or moved. Rows cut from the end, and a history written anew from the
start, show only to who kept a head of before: give it with --head or --heads.
  --head HASH   a head that was kept, of the one MODEL; may be given several times
  --tenant ID   whose log of who did what; yours unless named
  --heads FILE  heads that are kept here: each must still be there, then the newest are written
${TRUST_HELP}`,
  options: {
    ...trustOptions,
    file: { type: 'string' },
    out: { type: 'string', short: 'o' },
    head: { type: 'string', multiple: true },
    heads: { type: 'string' },
    tenant: { type: 'string' },
  },
  async run(context) {
    const [verb, model] = context.positionals;
    if (verb === 'access') return await runAccess(context);
    if (verb === 'verify') return await verify(context, model);
    if (verb === 'export') return await exportTo(context, model);
    throw new UsageError(`'${verb ?? ''}' is not verify, export or access.`);
  },
};

/** All histories, or those of one model: the one that is there, and deleted ones of its name. */
async function* chainsOf(context: Context, model: string | undefined): AsyncGenerator<HistoryChain> {
  let found = 0;
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await context.client.governance.histories({
      limit: PAGE_ROWS,
      ...(cursor !== undefined && { cursor }),
    });
    for (const chain of page.items) {
      if (model !== undefined && chain.model !== model) continue;
      found += 1;
      yield chain;
    }
    cursor = page.nextCursor;
  }
  if (model !== undefined && found === 0)
    throw new AppError('model_not_found', `There is and was no model ${model}.`);
}

async function* pagesOf(context: Context, chainId: string): AsyncGenerator<readonly HistoryRow[]> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await context.client.governance.history(chainId, {
      limit: PAGE_ROWS,
      ...(cursor !== undefined && { cursor }),
    });
    yield page.items;
    cursor = page.nextCursor;
  }
}

const nameOf = ({ model, deletedAt }: HistoryChain): string =>
  model === null ? '(tenant)' : deletedAt === null ? model : `${model} (deleted)`;

/** Tells how far it is, now and then. */
function progress(context: Context): (name: string, rows: number) => void {
  let drawnAt = 0;
  return (name, rows) => {
    if (!context.isTerminal || performance.now() - drawnAt < REDRAW_MS) return;
    drawnAt = performance.now();
    context.redraw(`${name}: ${rows} rows`);
  };
}

function keptHeads(context: Context, model: string | undefined): { kept: KeptHeads; ofModel: string[] } {
  const given = context.options.head;
  const ofModel = Array.isArray(given) ? given : [];
  const bad = ofModel.find((hash) => !HASH.test(hash));
  if (bad !== undefined) throw new UsageError(`--head takes 64 hex digits, not '${bad}'.`);
  if (ofModel.length > 0 && model === undefined && textOption(context, 'file') === undefined)
    throw new UsageError('--head is of one history; name the MODEL.');
  const file = textOption(context, 'heads');
  return { kept: file === undefined ? {} : readKeptHeads(resolve(context.cwd, file)), ofModel };
}

async function verify(context: Context, model: string | undefined): Promise<number> {
  const trusted = trustedBy(context);
  const file = textOption(context, 'file');
  const { kept, ofModel } = keptHeads(context, model);
  const checked: CheckedChain[] = [];
  const known = (chainId: string): string[] => [...(kept[chainId] ?? [])];
  try {
    if (file === undefined) await verifyPlatform(context, model, trusted, known, ofModel, checked);
    else await verifyFile(resolve(context.cwd, file), model, trusted, known, ofModel, checked);
    const missing = Object.keys(kept).find((chainId) => !checked.some((one) => one.chainId === chainId));
    if (missing !== undefined && model === undefined)
      throw new AppError('log_chain_broken', `The history ${missing} was kept, and is not there any more.`);
  } catch (error) {
    if (!isAppError(error) || error.status === 503 || error.code === 'model_not_found') throw error;
    if (context.isTerminal) context.redraw('');
    show(
      context,
      { verified: false, code: error.code, message: error.message, checked },
      () => `NOT verified: ${error.code}\n${error.message}`,
    );
    return exitCodes.failed;
  }
  if (context.isTerminal) context.redraw('');
  const heads = textOption(context, 'heads');
  if (heads !== undefined)
    writeKeptHeads(resolve(context.cwd, heads), {
      ...kept,
      ...Object.fromEntries(checked.map(({ chainId, head }) => [chainId, [head]])),
    });
  show(
    context,
    { verified: true, histories: checked },
    () =>
      `verified\n\n${table(
        ['history', 'rows', 'head'],
        checked.map(({ name, rows, head }) => [name, rows, head]),
      )}`,
  );
  return exitCodes.ok;
}

async function verifyPlatform(
  context: Context,
  model: string | undefined,
  trusted: Trusted,
  known: (chainId: string) => string[],
  ofModel: readonly string[],
  checked: CheckedChain[],
): Promise<void> {
  const tell = progress(context);
  for await (const chain of chainsOf(context, model)) {
    const { chainId } = chain;
    // the head first: rows that come meanwhile are past it and left out
    const signed = await context.client.governance.historyHead(chainId);
    // a kept head of the model as it is now; one of its name that was deleted has another history
    const kept = chain.deletedAt === null ? [...known(chainId), ...ofModel] : known(chainId);
    const check = createChainCheck({ chainId, name: nameOf(chain) }, trusted, kept);
    let rows = 0;
    for await (const page of pagesOf(context, chainId)) {
      check.add(page.filter(({ seq }) => seq <= signed.seq));
      rows += page.length;
      tell(nameOf(chain), rows);
      if (rows >= signed.seq) break;
    }
    checked.push(check.end(signed.bundle));
  }
}

async function verifyFile(
  file: string,
  model: string | undefined,
  trusted: Trusted,
  known: (chainId: string) => string[],
  ofModel: readonly string[],
  checked: CheckedChain[],
): Promise<void> {
  let open: { check: ChainCheck; name: string } | undefined;
  for await (const line of readAuditFile(file)) {
    if ('format' in line) continue;
    if ('chain' in line) {
      if (open !== undefined) throw cutOff(open.name);
      const { chainId, name } = line.chain;
      const kept = model === undefined || name === model ? [...known(chainId), ...ofModel] : known(chainId);
      open = { name, check: createChainCheck({ chainId, name }, trusted, kept) };
      continue;
    }
    if (open === undefined)
      throw new UsageError(`'${file}' has a row that belongs to no history; export the log again.`);
    if ('entry' in line) open.check.add([line]);
    else {
      checked.push(open.check.end(line.head));
      open = undefined;
    }
  }
  if (open !== undefined) throw cutOff(open.name);
  if (model !== undefined && !checked.some(({ name }) => name === model))
    throw new AppError('model_not_found', `The file has no history of ${model}.`);
}

const cutOff = (name: string): AppError =>
  new AppError('log_chain_broken', `The history of ${name} in the file ends without its signed head.`);

async function exportTo(context: Context, model: string | undefined): Promise<number> {
  const out = textOption(context, 'out');
  if (out === undefined) throw new UsageError('--out is missing: the file to write.');
  const target = resolve(context.cwd, out);
  if (existsSync(target)) throw new UsageError(`'${out}' exists already; name another place.`);
  const counts = { histories: 0, rows: 0 };
  try {
    await pipeline(
      Readable.from(exported(context, model, counts)),
      createWriteStream(target, { flags: 'wx' }),
    );
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
  if (context.isTerminal) context.redraw('');
  show(
    context,
    { out: target, ...counts },
    () => `${counts.histories} histories, ${counts.rows} rows: ${target}`,
  );
  return exitCodes.ok;
}

/** The lines of an exported log; counts what it gave. */
async function* exported(
  context: Context,
  model: string | undefined,
  counts: { histories: number; rows: number },
): AsyncGenerator<string> {
  const tell = progress(context);
  const line = (value: object): string => `${JSON.stringify(value)}\n`;
  yield line({ format: AUDIT_FORMAT, exportedAt: new Date().toISOString() });
  for await (const chain of chainsOf(context, model)) {
    const signed = await context.client.governance.historyHead(chain.chainId);
    yield line({ chain: { chainId: chain.chainId, name: nameOf(chain) } });
    let written = 0;
    for await (const page of pagesOf(context, chain.chainId)) {
      for (const row of page) if (row.seq <= signed.seq) yield line(row);
      written += page.length;
      tell(nameOf(chain), written);
      if (written >= signed.seq) break;
    }
    yield line({ head: signed.bundle });
    counts.histories += 1;
    counts.rows += signed.seq;
  }
}
