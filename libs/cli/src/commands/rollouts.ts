import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { RolloutSpec } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';
import type { Rollout, RolloutStatus } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, integerOption, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, fields, table } from '../format.ts';

/** Largest document that is read (characters); the platform takes less. */
const SPEC_LENGTH_MAX = 1024 * 1024;

export const rolloutsCommand: Command = {
  name: 'rollouts',
  summary: 'divide requests among versions: list, show, set, delete',
  help: `millrace rollouts                                   all rollouts
millrace rollouts show MODEL                        weights, canary, shadow and what each version did
millrace rollouts set MODEL V1=90 V2=10 [--sticky BY]  weights in percent; sticky by userId, sessionId or a header;
                                                    the other parts of the rollout stay as they are
millrace rollouts set MODEL --file FILE             the whole document as JSON ('-' reads stdin)
millrace rollouts delete MODEL                      back to the version that serves by default
  --revision N   change it only if it is still at this revision; default: the one it is at now`,
  options: { file: { type: 'string' }, sticky: { type: 'string' }, revision: { type: 'string' } },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    const model = argument(context, 1, 'The model');
    if (verb === 'show') return await detail(context, model);
    if (verb === 'set') return await set(context, model);
    if (verb === 'delete') return await remove(context, model);
    throw new UsageError(`'${verb}' is not list, show, set or delete.`);
  },
};

const percent = (share: number | null): string => (share === null ? '-' : `${(share * 100).toFixed(2)} %`);
const ms = (value: number | null): string => (value === null ? '-' : `${value.toFixed(2)} ms`);
const weightsOf = ({ weights }: RolloutSpec): string =>
  weights?.map(({ version, weight }) => `${version}=${weight}`).join(' ') ?? 'default';

async function list(context: Context): Promise<number> {
  const { items } = await context.client.rollouts.list({ limit: 500 });
  show(context, { items }, () =>
    items.length === 0
      ? 'No rollout.'
      : table(
          ['model', 'revision', 'weights', 'shadow', 'canary', 'changed'],
          items.map((rollout) => [
            rollout.model,
            rollout.revision,
            weightsOf(rollout.spec),
            rollout.spec.shadow?.version ?? '-',
            rollout.rolledBack === null ? (rollout.spec.canary?.version ?? '-') : 'rolled back',
            ago(rollout.updatedAt),
          ]),
        ),
  );
  return exitCodes.ok;
}

function describe(rollout: Rollout, status: RolloutStatus): string {
  const { spec, rolledBack } = rollout;
  const { shadow } = status;
  const about = fields([
    ['model', rollout.model],
    ['revision', `${rollout.revision}, ${rollout.updatedAt} by ${rollout.updatedBy}`],
    ['weights', weightsOf(spec)],
    ['sticky', spec.sticky?.header ?? spec.sticky?.by ?? '-'],
    [
      'rules',
      spec.rules
        ?.map(({ header, equals, prefix, version }) => `${header}: ${equals ?? `${prefix}…`} -> ${version}`)
        .join('; ') ?? '-',
    ],
    ['canary', status.reason === null ? status.canary : `${status.canary}: ${status.reason}`],
    ...(rolledBack === null
      ? []
      : [['rolled back', `${rolledBack.at}, from ${rolledBack.fromRevision}`] as [string, string]]),
    [
      'shadow',
      shadow === null
        ? '-'
        : `${shadow.version}: ${shadow.compared} of ${shadow.offered} compared, ${shadow.dropped} dropped, ${shadow.failed} failed; largest difference ${shadow.maxAbsDifference ?? '-'}, same label ${percent(shadow.labelAgreement)}`,
    ],
    ['cache', spec.cache === undefined ? '-' : `${spec.cache.maxBytes} bytes, ${spec.cache.ttlSeconds} s`],
  ]);
  const rows = status.versions.map((one) => [
    one.version,
    one.weight ?? '-',
    one.requestsTotal,
    one.requests,
    percent(one.errorRate),
    ms(one.p50Ms),
    ms(one.p95Ms),
    ms(one.p99Ms),
  ]);
  const heads = [
    'version',
    'weight',
    'requests',
    `last ${status.windowSeconds} s`,
    'failed',
    'p50',
    'p95',
    'p99',
  ];
  return `${about}\n\n${table(heads, rows)}`;
}

async function detail(context: Context, model: string): Promise<number> {
  const [rollout, status] = await Promise.all([
    context.client.rollouts.get(model),
    context.client.rollouts.status(model),
  ]);
  show(context, { ...rollout, status }, () => describe(rollout, status));
  return exitCodes.ok;
}

/** The rollout as it is; null when there is none. */
async function present(context: Context, model: string): Promise<Rollout | null> {
  try {
    return await context.client.rollouts.get(model);
  } catch (error) {
    if (isAppError(error) && error.code === 'rollout_not_found') return null;
    throw error;
  }
}

function readWeights(context: Context): NonNullable<RolloutSpec['weights']> {
  return context.positionals.slice(2).map((text) => {
    const at = text.lastIndexOf('=');
    const weight = Number(text.slice(at + 1));
    if (at > 0 && at < text.length - 1 && Number.isFinite(weight))
      return { version: text.slice(0, at), weight };
    throw new UsageError(`'${text}' is not VERSION=PERCENT.`);
  });
}

function readSticky(context: Context): RolloutSpec['sticky'] | undefined {
  const by = textOption(context, 'sticky');
  if (by === undefined) return undefined;
  return by === 'userId' || by === 'sessionId' ? { by } : { by: 'header', header: by };
}

async function readDocument(context: Context, file: string): Promise<RolloutSpec> {
  const text =
    file === '-'
      ? await context.readInput()
      : await readFile(resolve(context.cwd, file), 'utf8').catch(missing);
  if (text.length > SPEC_LENGTH_MAX) throw new UsageError(`'${file}' is too long for a rollout.`);
  try {
    return JSON.parse(text) as RolloutSpec;
  } catch {
    throw new UsageError(`'${file}' is not valid JSON.`);
  }
}

function missing(error: NodeJS.ErrnoException): never {
  throw new UsageError(`The file cannot be read: ${error.code ?? error.message}.`);
}

async function set(context: Context, model: string): Promise<number> {
  const file = textOption(context, 'file');
  const weights = readWeights(context);
  if ((file === undefined) === (weights.length === 0))
    throw new UsageError('Give either weights (V1=90 V2=10) or --file FILE.');
  const before = await present(context, model);
  const sticky = readSticky(context);
  const spec =
    file === undefined
      ? { ...before?.spec, weights, ...(sticky !== undefined && { sticky }) }
      : await readDocument(context, file);
  const revision = integerOption(context, 'revision', 1) ?? before?.revision;
  const rollout = await context.client.rollouts.put(model, spec, revision === undefined ? {} : { revision });
  show(context, rollout, () => `${model} is at revision ${rollout.revision}: ${weightsOf(rollout.spec)}`);
  return exitCodes.ok;
}

async function remove(context: Context, model: string): Promise<number> {
  const asked = integerOption(context, 'revision', 1);
  const revision = asked ?? (await context.client.rollouts.get(model)).revision;
  await context.client.rollouts.delete(model, { revision });
  show(context, { model, deleted: true }, () => `${model} has no rollout any more.`);
  return exitCodes.ok;
}
