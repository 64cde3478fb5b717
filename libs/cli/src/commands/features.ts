import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { FeatureRow, FeatureValues, FeatureView, TrainingSetRequest } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, fields, table } from '../format.ts';

const PAGE_ITEMS = 500;
/** Rows that one request takes. */
const ROWS_MAX = 1_000;
/** Documents are read whole. */
const CHARS_MAX = 64 * 1024 * 1024;
type ViewSpec = Parameters<Context['client']['features']['createView']>[0];

export const featuresCommand: Command = {
  name: 'features',
  summary: 'feature views, their values, and training sets with the values of the past',
  help: `millrace features                        all views
millrace features show VIEW              one view
millrace features create FILE            a view; FILE has its definition as JSON, - reads standard input
millrace features delete VIEW            it and all its values
millrace features get VIEW ENTITY...     values now
millrace features put VIEW FILE          rows, one JSON object a line: {"entity", "eventTime", "values"}
millrace features training-set FILE      rows with the values of their time, as CSV; FILE has the request as JSON
  --into DATASET   makes a version of this dataset instead (training-set)
  --backfill       rows without createdTime were known at their event (put)`,
  options: { into: { type: 'string' }, backfill: { type: 'boolean' } },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    if (verb === 'create') return await create(context);
    if (verb === 'training-set') return await trainingSet(context);
    const done = { show: detail, delete: remove, get: values, put }[verb];
    if (done === undefined) throw new UsageError(`'${verb}' is not known.\n${featuresCommand.help}`);
    return await done(context, argument(context, 1, 'VIEW'));
  },
};

const ttlOf = ({ ttlSeconds }: FeatureView): string => (ttlSeconds === null ? 'for ever' : `${ttlSeconds} s`);

async function list(context: Context): Promise<number> {
  const { items } = await context.client.features.views({ limit: PAGE_ITEMS });
  show(context, { items }, () =>
    table(
      ['view', 'entity', 'features', 'ttl', 'owner', 'changed'],
      items.map((one) => [
        one.name,
        one.entity.name,
        String(one.features.length),
        ttlOf(one),
        one.owner,
        ago(one.updatedAt),
      ]),
    ),
  );
  return exitCodes.ok;
}

function described(view: FeatureView): string {
  const about = fields([
    ['view', `${view.name} (${view.id})`],
    ['revision', `${view.revision}, ${view.updatedAt} by ${view.updatedBy}`],
    ['entity', `${view.entity.name} (${view.entity.keyType})`],
    ['ttl', ttlOf(view)],
    ['owner', view.owner || '-'],
    ['description', view.description || '-'],
  ]);
  const features = view.features.map(({ name, type, size, description }) => [
    name,
    size === undefined ? type : `${type}[${size}]`,
    description ?? '',
  ]);
  return `${about}\n\n${table(['feature', 'type', 'description'], features)}`;
}

async function detail(context: Context, name: string): Promise<number> {
  const view = await context.client.features.view(name);
  show(context, view, () => described(view));
  return exitCodes.ok;
}

async function read(context: Context, file: string): Promise<string> {
  const text =
    file === '-'
      ? await context.readInput()
      : await readFile(resolve(context.cwd, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
          throw new UsageError(`The file cannot be read: ${error.code ?? error.message}.`);
        });
  if (text.length > CHARS_MAX)
    throw new UsageError(`'${file}' has over ${CHARS_MAX} characters; send it in pieces.`);
  return text;
}

function parsed<T>(text: string, what: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new UsageError(`${what} is not valid JSON.`);
  }
}

async function create(context: Context): Promise<number> {
  const file = argument(context, 1, 'FILE');
  const spec = parsed<ViewSpec>(await read(context, file), `'${file}'`);
  const view = await context.client.features.createView(spec);
  show(context, view, () => described(view));
  return exitCodes.ok;
}

async function remove(context: Context, name: string): Promise<number> {
  const { revision } = await context.client.features.view(name);
  await context.client.features.deleteView(name, { revision });
  show(context, { view: name, deleted: true }, () => `There is no view ${name} any more.`);
  return exitCodes.ok;
}

function valuesText(items: readonly FeatureValues[]): string {
  const names = Object.keys(items[0]?.values ?? {});
  const cell = (value: unknown): string =>
    value === null ? '-' : typeof value === 'string' ? value : JSON.stringify(value);
  return table(
    ['entity', 'event', ...names],
    items.map((one) => [
      one.entity,
      one.reason ?? one.eventTime ?? '-',
      ...names.map((name) => cell(one.values[name] ?? null)),
    ]),
  );
}

async function values(context: Context, name: string): Promise<number> {
  const entities = context.positionals.slice(2);
  if (entities.length === 0) throw new UsageError('ENTITY is missing.');
  const items = await context.client.features.getMany(name, entities);
  show(context, { items }, () => valuesText(items));
  return exitCodes.ok;
}

async function put(context: Context, name: string): Promise<number> {
  const file = argument(context, 2, 'FILE');
  const rows = (await read(context, file)).split('\n').flatMap((line, index): FeatureRow[] => {
    return line.trim() === '' ? [] : [parsed<FeatureRow>(line, `Line ${index + 1} of '${file}'`)];
  });
  const total = { rows: 0, added: 0, newest: 0 };
  const options = context.options.backfill === true ? ({ createdTimes: 'event' } as const) : {};
  for (let from = 0; from < rows.length; from += ROWS_MAX) {
    const written = await context.client.features.put(name, rows.slice(from, from + ROWS_MAX), options);
    total.rows += written.rows;
    total.added += written.added;
    total.newest += written.newest;
  }
  show(
    context,
    total,
    () => `${total.rows} rows: ${total.added} were new, ${total.newest} became the newest of their entity.`,
  );
  return exitCodes.ok;
}

async function trainingSet(context: Context): Promise<number> {
  const file = argument(context, 1, 'FILE');
  const request = parsed<TrainingSetRequest>(await read(context, file), `'${file}'`);
  const into = textOption(context, 'into');
  if (into === undefined) {
    context.print((await context.client.features.trainingRows(request)).trimEnd());
    return exitCodes.ok;
  }
  const version = await context.client.features.trainingSet({ ...request, into });
  show(context, version, () =>
    fields([
      ['version', `${version.ordinal} (${version.id})`],
      ['digest', version.digest ?? '-'],
    ]),
  );
  return exitCodes.ok;
}
