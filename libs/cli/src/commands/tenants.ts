import type { TenantLimits, TenantUsageView, TenantView } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, bytes, table } from '../format.ts';

/** Options that set a bound, by what they bound. */
const BOUNDS = {
  'requests-per-second': 'requestsPerSecond',
  'concurrent-requests': 'concurrentRequests',
  models: 'models',
  'model-bytes': 'modelBytes',
  'artifact-bytes': 'artifactBytes',
  'dataset-bytes': 'datasetBytes',
  'open-jobs': 'openJobs',
} as const satisfies Record<string, keyof TenantLimits>;
type Option = keyof typeof BOUNDS;
const OPTIONS = Object.keys(BOUNDS) as Option[];
const NO_BOUND = 'none';

export const tenantsCommand: Command = {
  name: 'tenants',
  summary: 'whose data is kept apart: list, create, show, quotas, usage, disable, enable',
  help: `millrace tenants                     all tenants that you look after
millrace tenants create ID           a new one; its people are made with: millrace principals create
millrace tenants show ID             one, with its bounds
millrace tenants usage ID            what it has, of each bound
millrace tenants quotas ID OPTIONS   changes those bounds that are named; '${NO_BOUND}' takes one away
millrace tenants disable|enable ID   its keys and tokens stop working, or work again
  --note TEXT                what it is for (create)
  --requests-per-second N    twice as many in a burst, at each gateway
  --concurrent-requests N    open at a time, at each gateway
  --models N                 models that are not deleted
  --model-bytes N            files of model versions, each digest once
  --artifact-bytes N         artifacts of MLflow runs
  --dataset-bytes N          files of dataset versions
  --open-jobs N              jobs that have not ended, of each kind`,
  options: {
    note: { type: 'string' },
    ...Object.fromEntries(OPTIONS.map((name) => [name, { type: 'string' }] as const)),
  },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    const id = argument(context, 1, 'The id of the tenant');
    const { tenants } = context.client;
    if (verb === 'create') {
      const note = textOption(context, 'note');
      const limits = changed(context, {});
      return shown(context, await tenants.create({ id, limits, ...(note !== undefined && { note }) }));
    }
    if (verb === 'show') return shown(context, await tenants.get(id));
    if (verb === 'usage') return used(context, await tenants.usage(id));
    if (verb === 'quotas') {
      const { limits } = await tenants.get(id);
      return shown(context, await tenants.change(id, { limits: changed(context, limits) }));
    }
    if (verb === 'disable' || verb === 'enable')
      return shown(context, await tenants.change(id, { disabled: verb === 'disable' }));
    throw new UsageError(`'${verb}' is not list, create, show, quotas, usage, disable or enable.`);
  },
};

/** The bounds as they are to be: those of before with what the options say. */
function changed(context: Context, before: TenantLimits): TenantLimits {
  const limits: Record<string, number> = { ...before };
  for (const option of OPTIONS) {
    const text = textOption(context, option);
    if (text === undefined) continue;
    if (text === NO_BOUND) delete limits[BOUNDS[option]];
    else if (/^\d{1,15}$/.test(text)) limits[BOUNDS[option]] = Number(text);
    else throw new UsageError(`--${option} takes a whole number or '${NO_BOUND}', not '${text}'.`);
  }
  return limits;
}

const stateOf = ({ disabledAt }: TenantView): string => (disabledAt === null ? 'in use' : 'disabled');
const boundsOf = (limits: TenantLimits): string =>
  Object.entries(limits)
    .map(([what, limit]) => `${what} ${limit}`)
    .join(', ');

async function list(context: Context): Promise<number> {
  const { items } = await context.client.tenants.list({ limit: 500 });
  show(context, { items }, () =>
    table(
      ['tenant', 'state', 'bounds', 'note', 'made'],
      items.map((one) => [one.id, stateOf(one), boundsOf(one.limits), one.note, ago(one.createdAt)]),
    ),
  );
  return exitCodes.ok;
}

function shown(context: Context, tenant: TenantView): number {
  show(context, tenant, () => {
    const bounds = boundsOf(tenant.limits);
    return `${tenant.id} is ${stateOf(tenant)}, made by ${tenant.createdBy} ${ago(tenant.createdAt)}\nbounds: ${bounds === '' ? 'none' : bounds}`;
  });
  return exitCodes.ok;
}

function used(context: Context, usage: TenantUsageView): number {
  show(context, usage, () => {
    const { limits, kept } = usage;
    const count = (value: number | undefined): string => (value === undefined ? '?' : String(value));
    const size = (value: number | undefined): string => (value === undefined ? '?' : bytes(value));
    const rows = [
      ['models', count(kept.models), limits.models?.toString() ?? '-'],
      [
        'files of models',
        size(kept.modelBytes),
        limits.modelBytes === undefined ? '-' : bytes(limits.modelBytes),
      ],
      [
        'artifacts of runs',
        size(kept.artifactBytes),
        limits.artifactBytes === undefined ? '-' : bytes(limits.artifactBytes),
      ],
      [
        'files of datasets',
        size(kept.datasetBytes),
        limits.datasetBytes === undefined ? '-' : bytes(limits.datasetBytes),
      ],
      ...Object.entries(kept.openJobs ?? {}).map(([kind, open]) => [
        `open ${kind} jobs`,
        String(open),
        limits.openJobs?.toString() ?? '-',
      ]),
      ['open requests', String(usage.concurrentRequests), limits.concurrentRequests?.toString() ?? '-'],
      ['requests of the last day', String(usage.lastDay.requests), '-'],
      ['predictions of the last day', String(usage.lastDay.predictions), '-'],
      ['refused for a bound, last day', String(usage.lastDay.refused), '-'],
      ['principals', String(usage.principals), '-'],
      ['valid keys', String(usage.keys), '-'],
    ];
    const silent = usage.unavailable.length === 0 ? '' : `\n\nnot answering: ${usage.unavailable.join(', ')}`;
    return table(['of', 'now', 'bound'], rows) + silent;
  });
  return exitCodes.ok;
}
