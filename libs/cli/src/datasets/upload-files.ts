import { resolve } from 'node:path';
import { isAppError } from '@millrace/contracts';
import type { Context } from '../command.ts';
import { argument, show, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, bytes, table } from '../format.ts';
import { openSources, progressOf } from '../upload-sources.ts';

const PAGE_ITEMS = 200;
/** Ends of an upload after which the same command goes on. */
const RESUMABLE: readonly string[] = ['request_cancelled', 'storage_unavailable', 'dependency_unavailable'];

/** Uploads the files that follow the name; what an earlier try had sent is not sent again. */
export async function uploadFiles(context: Context, name: string): Promise<number> {
  const paths = context.positionals.slice(2).map((path) => resolve(context.cwd, path));
  if (paths.length === 0) throw new UsageError('FILE is missing.');
  const { datasets } = context.client;
  const sources = await openSources(paths);
  try {
    const dataset = await datasets.create({ name });
    const sent = await datasets.send(dataset.id, sources.all, progressOf(context, sources.all));
    const version = await datasets.version(dataset.id, sent.versionId ?? '');
    const isOld = sent.isReused ? ', which had these files already' : '';
    show(context, version, () => `Version ${version.ordinal} of ${name}: ${version.id}${isOld}`);
    return exitCodes.ok;
  } catch (error) {
    if (isResumable(error)) context.note('What arrived is kept for a day: the same command sends the rest.');
    throw error;
  } finally {
    if (context.isTerminal) context.redraw('');
    await sources.close();
  }
}

function isResumable(error: unknown): boolean {
  return isAppError(error) && RESUMABLE.includes(error.code);
}

/** Uploads of a dataset and where they stand. */
export async function listUploads(context: Context, id: string): Promise<number> {
  const page = await context.client.datasets.uploads(id, { limit: PAGE_ITEMS });
  show(context, page, () =>
    table(
      ['upload', 'state', 'files', 'size', 'begun'],
      page.items.map((one) => [
        one.id,
        one.error?.code ?? one.state,
        String(one.files.length),
        bytes(one.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)),
        ago(one.createdAt),
      ]),
    ),
  );
  return exitCodes.ok;
}

/** Gives up the upload that is named. */
export async function abortUpload(context: Context, id: string): Promise<number> {
  const given = await context.client.datasets.abortUpload(id, argument(context, 2, 'UPLOAD'));
  show(context, given, () => `Upload ${given.id} was given up; nothing of it is kept.`);
  return exitCodes.ok;
}
