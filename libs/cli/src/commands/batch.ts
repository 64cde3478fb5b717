import type { BatchJob, BatchJobRequest, BatchResults } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, integerOption, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, bytes, fields, table } from '../format.ts';

const LIMIT_DEFAULT = 20;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const INPUT_FORMATS = ['csv', 'jsonl', 'npy', 'parquet'] as const;
const OUTPUT_FORMATS = ['csv', 'jsonl', 'npy'] as const;

export const batchCommand: Command = {
  name: 'batch',
  summary: 'predict whole files: create, list, show, cancel',
  help: `millrace batch [list] [--limit N]          newest batch jobs
millrace batch create MODEL[@VERSION] INPUT  predict every row of INPUT: the id of a dataset version, or a key or a
                                             prefix ending in / of the platform's bucket under batch-inputs/<tenant>/
millrace batch show JOB                      state, rows, and where the results lie
millrace batch cancel JOB                    take nothing more of it
  --format F       ${INPUT_FORMATS.join(', ')}; default: what the names say
  --output F       ${OUTPUT_FORMATS.join(', ')}; default jsonl
  --chunk-rows N   rows of a part
  --skip-errors    leave bad rows out and list them, instead of failing
  --key TEXT       the same key again gives the first job`,
  options: {
    limit: { type: 'string' },
    format: { type: 'string' },
    output: { type: 'string' },
    'chunk-rows': { type: 'string' },
    'skip-errors': { type: 'boolean' },
    key: { type: 'string' },
  },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    if (verb === 'create') return await create(context);
    if (verb !== 'show' && verb !== 'cancel')
      throw new UsageError(`'${verb}' is not create, list, show or cancel.`);
    const id = argument(context, 1, 'The id of the batch job');
    if (!UUID.test(id)) throw new UsageError(`'${id}' is no id of a batch job; see: millrace batch`);
    return verb === 'show' ? await detail(context, id) : await cancel(context, id);
  },
};

function oneOf<T extends string>(context: Context, name: string, values: readonly T[]): T | undefined {
  const text = textOption(context, name);
  const found = values.find((value) => value === text);
  if (text !== undefined && found === undefined)
    throw new UsageError(`--${name} takes ${values.join(', ')}, not '${text}'.`);
  return found;
}

function inputOf(text: string): BatchJobRequest['input'] {
  if (UUID.test(text)) return { datasetVersionId: text };
  return text.endsWith('/') ? { prefix: text } : { key: text };
}

async function create(context: Context): Promise<number> {
  const { name, version } = modelArgument(argument(context, 1, 'The model'));
  const input = inputOf(argument(context, 2, 'The input'));
  const format = oneOf(context, 'format', INPUT_FORMATS);
  const output = oneOf(context, 'output', OUTPUT_FORMATS);
  const chunkRows = integerOption(context, 'chunk-rows', 1);
  const idempotencyKey = textOption(context, 'key');
  const job = await context.client.batchJobs.create(
    {
      model: name,
      input,
      ...(version !== undefined && { version }),
      ...(format !== undefined && { format }),
      ...(output !== undefined && { output: { format: output } }),
      ...(chunkRows !== undefined && { chunkRows }),
      ...(context.options['skip-errors'] === true && { onRowError: 'skip' as const }),
    },
    idempotencyKey === undefined ? {} : { idempotencyKey },
  );
  show(context, job, () => `${describe(job)}\n\nFollow it: millrace batch show ${job.id}`);
  return exitCodes.ok;
}

const rowsOf = ({ rows }: BatchJob): string =>
  `${rows.done}${rows.total === null ? '' : ` of ${rows.total}`}`;

async function list(context: Context): Promise<number> {
  const limit = integerOption(context, 'limit', 1) ?? LIMIT_DEFAULT;
  const { items } = await context.client.batchJobs.list({ limit });
  show(context, { items }, () =>
    items.length === 0
      ? 'No batch job yet; see: millrace batch --help'
      : table(
          ['job', 'model', 'state', 'rows', 'left out', 'made'],
          items.map((job) => [
            job.id,
            `${job.model}@${job.version}`,
            job.state,
            rowsOf(job),
            job.rows.skipped,
            ago(job.createdAt),
          ]),
        ),
  );
  return exitCodes.ok;
}

function describe(job: BatchJob, results?: BatchResults): string {
  const stored = (object: { sizeBytes: number; url: string } | null | undefined): string =>
    object == null ? '-' : `${bytes(object.sizeBytes)} ${object.url}`;
  return fields([
    ['job', job.id],
    ['model', `${job.model}@${job.version}`],
    ['state', job.state],
    ['status', job.status],
    ['rows', rowsOf(job)],
    ['left out', String(job.rows.skipped)],
    ['made', `${job.createdAt} by ${job.createdBy}`],
    ...(results === undefined
      ? []
      : ([
          ['result', stored(results.result)],
          ['errors', stored(results.errors)],
          ['manifest', stored(results.manifest)],
        ] as [string, string][])),
  ]);
}

async function detail(context: Context, id: string): Promise<number> {
  const job = await context.client.batchJobs.get(id);
  const results =
    job.state === 'succeeded' ? await context.client.batchJobs.results(id, { limit: 1 }) : undefined;
  const { result = null, errors = null, manifest = null } = results ?? {};
  show(context, { ...job, results: results === undefined ? null : { result, errors, manifest } }, () =>
    describe(job, results),
  );
  return exitCodes.ok;
}

async function cancel(context: Context, id: string): Promise<number> {
  const job = await context.client.batchJobs.cancel(id);
  show(context, job, () => describe(job));
  return exitCodes.ok;
}
