import { AppError, appErrorFrom } from '@millrace/contracts';
import type { DatasetVersion, QualityReport } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, show, UsageError } from '../command.ts';
import { ingestRequest } from '../datasets/ingest-request.ts';
import { abortUpload, listUploads, uploadFiles } from '../datasets/upload-files.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, bytes, fields, table } from '../format.ts';

const PAGE_ITEMS = 200;

export const datasetsCommand: Command = {
  name: 'datasets',
  summary: 'datasets, their versions, ingestions and quality reports',
  help: `millrace datasets                            all datasets
millrace datasets presets                    public sources that the platform knows how to read
millrace datasets upload NAME FILE...        files as a version of their own; again after a break sends the rest
millrace datasets uploads NAME               uploads and where they stand
millrace datasets abort NAME UPLOAD          gives an unfinished upload up
millrace datasets ingest NAME SOURCE         data that others made: read, checked, divided
millrace datasets ingest NAME --preset NAME  the same of a preset
millrace datasets versions NAME              the versions of a dataset
millrace datasets report NAME [VERSION]      the quality report; VERSION is an id or ordinal, the newest without it
millrace datasets schema NAME [VERSION]      its columns
millrace datasets trainings NAME [VERSION]   which trainings used it
millrace datasets download NAME [VERSION]    an address for each file

SOURCE is s3://BUCKET/PREFIX, gs://…, az://…, https://…, hf:REPOSITORY[@REVISION], version:ID of an upload, or a folder
of the worker that its operator allows. A worker of the pool \`analysis\` does it (MILLRACE_WORKER_POOLS).
  --target COLUMN     what is to be learned     --format NAME     if the names of the files do not tell
  --options FILE      all options as JSON       --seed N          of the split
  --credentials NAME  keys that the operator named          --split NAME  of a Hugging Face repository
  --pages PARAMETER   an API that gives its records in pages, the number in this parameter
  --detach            do not wait`,
  options: {
    target: { type: 'string' },
    format: { type: 'string' },
    options: { type: 'string' },
    seed: { type: 'string' },
    credentials: { type: 'string' },
    split: { type: 'string' },
    pages: { type: 'string' },
    preset: { type: 'string' },
    detach: { type: 'boolean', short: 'd' },
  },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    if (verb === 'presets') return await presets(context);
    const name = argument(context, 1, 'NAME');
    if (verb === 'upload') return await uploadFiles(context, name);
    if (verb === 'ingest') return await ingest(context, name);
    const id = await datasetId(context, name);
    if (verb === 'versions') return await versions(context, id);
    if (verb === 'uploads') return await listUploads(context, id);
    if (verb === 'abort') return await abortUpload(context, id);
    const described = { report, schema, trainings, download }[verb];
    if (described === undefined) throw new UsageError(`'${verb}' is not known.\n${datasetsCommand.help}`);
    return await described(context, await versionOf(context, id));
  },
};

async function list(context: Context): Promise<number> {
  const page = await context.client.datasets.list({ limit: PAGE_ITEMS });
  show(context, page, () =>
    table(
      ['dataset', 'id', 'made', 'description'],
      page.items.map((one) => [one.name, one.id, ago(one.createdAt), one.description]),
    ),
  );
  return exitCodes.ok;
}

async function presets(context: Context): Promise<number> {
  const items = await context.client.datasets.presets();
  show(context, { items }, () =>
    table(
      ['preset', 'what'],
      items.map((one) => [one.name, one.doc]),
    ),
  );
  return exitCodes.ok;
}

async function ingest(context: Context, name: string): Promise<number> {
  const request = await ingestRequest(context);
  const { datasets } = context.client;
  const dataset = await datasets.create({ name });
  const started = await datasets.ingest(dataset.id, request);
  if (context.options.detach === true) {
    show(context, started, () => `Version ${started.ordinal} of ${name} is being made: ${started.id}`);
    return exitCodes.ok;
  }
  const version = await datasets.settled(dataset.id, started.id, { signal: context.signal });
  if (version.state === 'failed') {
    if (version.files.length > 0) context.note(`See: millrace datasets report ${name} ${version.ordinal}`);
    throw appErrorFrom(version.error ?? {});
  }
  show(context, version, () => described(version));
  return exitCodes.ok;
}

async function versions(context: Context, id: string): Promise<number> {
  const page = await context.client.datasets.versions(id, { limit: PAGE_ITEMS });
  show(context, page, () =>
    table(
      ['version', 'id', 'state', 'size', 'digest', 'made'],
      page.items.map((one) => [
        String(one.ordinal),
        one.id,
        one.error?.code ?? one.state,
        one.sizeBytes === null ? '-' : bytes(one.sizeBytes),
        one.digest?.slice(0, 12) ?? '-',
        ago(one.createdAt),
      ]),
    ),
  );
  return exitCodes.ok;
}

async function report(context: Context, version: DatasetVersion): Promise<number> {
  const found = await context.client.datasets.quality(version.datasetId, version.id);
  show(context, found, () => reportText(found));
  return found.verdict === 'accepted' ? exitCodes.ok : exitCodes.failed;
}

async function schema(context: Context, version: DatasetVersion): Promise<number> {
  context.print(JSON.stringify(await context.client.datasets.schema(version.datasetId, version.id), null, 2));
  return exitCodes.ok;
}

async function trainings(context: Context, version: DatasetVersion): Promise<number> {
  const items = await context.client.datasets.trainings(version.datasetId, version.id);
  show(context, { items }, () =>
    table(
      ['training', 'recipe', 'state', 'made'],
      items.map((one) => [one.jobId, one.recipe, one.state, ago(one.createdAt)]),
    ),
  );
  return exitCodes.ok;
}

async function download(context: Context, version: DatasetVersion): Promise<number> {
  const files = await context.client.datasets.downloads(version.datasetId, version.id);
  show(context, { files }, () => files.map((file) => `${file.path}\t${file.url}`).join('\n'));
  return exitCodes.ok;
}

/** The dataset of a name, which is unique in its tenant, or the id itself. */
async function datasetId(context: Context, name: string): Promise<string> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await context.client.datasets.list({
      limit: PAGE_ITEMS,
      ...(cursor === undefined ? {} : { cursor }),
    });
    const found = page.items.find((one) => one.name === name || one.id === name);
    if (found !== undefined) return found.id;
    cursor = page.nextCursor;
  }
  throw new AppError('dataset_not_found', `There is no dataset ${name}.`);
}

async function versionOf(context: Context, id: string): Promise<DatasetVersion> {
  const wanted = context.positionals[2];
  const page = await context.client.datasets.versions(id, { limit: PAGE_ITEMS });
  const found =
    wanted === undefined
      ? page.items[0]
      : page.items.find((one) => one.id === wanted || String(one.ordinal) === wanted);
  if (found === undefined)
    throw new AppError('dataset_version_not_found', `There is no version ${wanted ?? ''}.`);
  return found;
}

function described(version: DatasetVersion): string {
  const { rows, splits } = (version.meta ?? {}) as {
    rows?: Record<string, number>;
    splits?: Record<string, number>;
  };
  const line = (counts: Record<string, number> | undefined) =>
    Object.entries(counts ?? {})
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  return fields([
    ['version', `${version.ordinal} (${version.id})`],
    ['digest', version.digest ?? '-'],
    ['rows', line(rows)],
    ['splits', line(splits)],
  ]);
}

function reportText(found: QualityReport): string {
  const { read, kept, dropped } = found.rows;
  const head = `${found.verdict}: ${read} rows read, ${dropped} dropped, ${kept} kept`;
  if (found.findings.length === 0) return `${head}\nNothing was found.`;
  const lines = found.findings.map((one) => {
    const first = one.rows[0];
    const where = first === undefined ? '' : `${first.file} row ${first.row}`;
    return [one.check, one.column ?? '-', one.action, String(one.count), where, one.message];
  });
  return `${head}\n${table(['check', 'column', 'action', 'count', 'first', 'what'], lines)}`;
}
