import type { Stage } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { ServedVersion } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, bytes, fields, table } from '../format.ts';

const STAGES: readonly string[] = ['development', 'staging', 'production', 'archived'];

export const modelsCommand: Command = {
  name: 'models',
  summary: 'list models, show versions, move one to a stage',
  help: `millrace models                            all models
millrace models MODEL                      its versions
millrace models MODEL@VERSION              one version: files, digests, inputs, outputs
millrace models serving                    what is in memory: queue, rows a run, latency, memory
millrace models serving MODEL[@VERSION]    one of them: also where and why it runs there, and why rows are joined or not
millrace models stage MODEL@VERSION STAGE  move it to ${STAGES.join(', ')}`,
  options: {},
  async run(context) {
    const [first] = context.positionals;
    if (first === undefined) return await list(context);
    if (first === 'stage') return await stage(context);
    if (first === 'serving')
      return await (context.positionals[1] === undefined ? serving : servingOne)(context);
    const { name, version } = modelArgument(first);
    return version === undefined ? await versions(context, name) : await detail(context, name, version);
  },
};

async function list(context: Context): Promise<number> {
  const { items } = await context.client.models.list({ limit: 500 });
  show(context, { items }, () =>
    items.length === 0
      ? 'No model yet; train one: millrace train'
      : table(
          ['model', 'versions', 'latest', 'serving', 'made'],
          items.map((model) => [
            model.name,
            model.versions,
            model.latest?.version ?? '-',
            model.serving === null ? '-' : `${model.serving.version} (${model.serving.stage})`,
            ago(model.createdAt),
          ]),
        ),
  );
  return exitCodes.ok;
}

async function versions(context: Context, name: string): Promise<number> {
  const { items } = await context.client.models.versions(name, { limit: 500 });
  show(context, { items }, () =>
    table(
      ['version', 'no', 'stage', 'framework', 'model digest', 'package digest', 'made'],
      items.map((version) => [
        version.version,
        version.ordinal,
        version.stage,
        version.framework,
        version.modelDigest.slice(0, 12),
        version.packageDigest.slice(0, 12),
        ago(version.createdAt),
      ]),
    ),
  );
  return exitCodes.ok;
}

async function detail(context: Context, name: string, label: string): Promise<number> {
  const version = await context.client.models.version(name, label);
  const tensors = (list: typeof version.inputs) =>
    list
      .map(
        ({ name: tensor, dtype, shape }) =>
          `${tensor} ${dtype} [${(shape ?? []).map((size) => size ?? 'N').join(', ')}]`,
      )
      .join('; ');
  show(context, version, () => {
    const about = fields([
      ['model', version.model],
      ['version', `${version.version} (number ${version.ordinal})`],
      ['stage', version.stage],
      ['framework', version.framework],
      ['inputs', tensors(version.inputs)],
      ['outputs', tensors(version.outputs)],
      ['model digest', version.modelDigest],
      ['package digest', version.packageDigest],
      ['signed by key', version.keyId],
      ['made', `${version.createdAt} by ${version.createdBy}`],
    ]);
    const files = version.files.map((file) => [file.path, bytes(file.sizeBytes), file.sha256]);
    return `${about}\n\n${table(['file', 'size', 'sha256'], files)}`;
  });
  return exitCodes.ok;
}

const ms = (value: number): string => value.toPrecision(3);

/** Rows that a run had on average; undefined before the first. */
function rowsOfRun({ queue }: ServedVersion): number | undefined {
  const { rows = 0, runs = 0 } = queue;
  return runs === 0 ? undefined : rows / runs;
}

async function serving(context: Context): Promise<number> {
  const report = await context.client.models.serving();
  show(context, report, () => {
    if (report.models.length === 0) return 'No model is in memory; the first request loads it.';
    const rows = report.models.map((version) => [
      `${version.model}@${version.version}`,
      version.state,
      version.placement,
      version.queue.requests ?? 0,
      version.queue.failures ?? 0,
      version.queue.depth ?? 0,
      version.isBatched ? (rowsOfRun(version)?.toFixed(1) ?? '-') : 'alone',
      ms(version.latencyMs.queueMean),
      ms(version.latencyMs.p50),
      ms(version.latencyMs.p99),
      bytes(version.residentBytes),
    ]);
    const head = [
      'version',
      'state',
      'runs',
      'requests',
      'failed',
      'waiting',
      'rows a run',
      'queue ms',
      'p50',
      'p99',
      'memory',
    ];
    const faults = report.failures.map((one) => [`${one.model}@${one.version}`, one.code, one.message]);
    const failed = faults.length === 0 ? '' : `\n\n${table(['not loaded', 'code', 'why'], faults)}`;
    return table(head, rows) + failed;
  });
  return exitCodes.ok;
}

async function servingOne(context: Context): Promise<number> {
  const { name, version } = modelArgument(argument(context, 1, 'MODEL'));
  const isMeant = (one: { model: string; version: string }): boolean =>
    one.model === name && (version === undefined || one.version === version);
  const report = await context.client.models.serving();
  const models = report.models.filter(isMeant);
  const failures = report.failures.filter(isMeant);
  const [failure] = failures;
  if (models.length === 0) {
    const why = failure === undefined ? 'the first request loads it' : `${failure.code}: ${failure.message}`;
    throw new AppError('model_not_found', `${argument(context, 1, 'MODEL')} is not in memory; ${why}`);
  }
  show(context, { models, failures }, () => models.map(servedFields).join('\n\n'));
  return exitCodes.ok;
}

function servedFields(served: ServedVersion): string {
  const { queue, latencyMs, hostPids } = served;
  return fields([
    ['version', `${served.model}@${served.version} (${served.stage})`],
    ['state', served.state],
    ['runs', `${served.placement}: ${served.placementReason}`],
    ['rows', `${served.isBatched ? 'joined' : 'alone'}: ${served.batchReason}`],
    ['rows a run', rowsOfRun(served)?.toFixed(1)],
    ['requests', `${queue.requests ?? 0}, ${queue.failures ?? 0} failed, ${queue.rejected ?? 0} turned away`],
    ['queue', `${queue.depth ?? 0} wait (${bytes(queue.bytes ?? 0)}), ${queue.running ?? 0} run`],
    [
      'latency',
      `p50 ${ms(latencyMs.p50)}, p99 ${ms(latencyMs.p99)} ms; ${ms(latencyMs.queueMean)} in the queue`,
    ],
    ['one row', `${ms(served.rowMs)} ms, measured at the load`],
    ['memory', bytes(served.residentBytes)],
    ['processes', hostPids.join(', ')],
    ['loaded', `${ago(served.loadedAt)}, in ${ms(served.loadMs)} ms`],
  ]);
}

async function stage(context: Context): Promise<number> {
  const { name, version } = modelArgument(argument(context, 1, 'MODEL@VERSION'));
  const wanted = argument(context, 2, 'The stage');
  if (version === undefined) throw new UsageError(`Say which version: ${name}@VERSION.`);
  if (!STAGES.includes(wanted))
    throw new UsageError(`'${wanted}' is not a stage; those are ${STAGES.join(', ')}.`);
  const changed = await context.client.models.setStage(name, version, wanted as Stage);
  show(context, changed, () => `${name} ${changed.version} is now in ${changed.stage}.`);
  return exitCodes.ok;
}
