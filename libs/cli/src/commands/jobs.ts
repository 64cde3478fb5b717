import type { JobView } from '@millrace/contracts';
import type { Command, Context } from '../command.ts';
import { argument, integerOption, show, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, duration, fields, short, shortId, table } from '../format.ts';
import { findJob, jobKinds } from '../job-finder.ts';

const LIMIT_DEFAULT = 20;

export const jobsCommand: Command = {
  name: 'jobs',
  summary: 'list jobs, show one, cancel one',
  help: `millrace jobs [--limit N]        newest jobs of every kind
millrace jobs show JOB           one job with its progress, result or error
millrace jobs cancel JOB         ask a job to stop

JOB is an id, or its end as the list shows it.`,
  options: { limit: { type: 'string' } },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    if (verb !== 'show' && verb !== 'cancel') throw new UsageError(`'${verb}' is not list, show or cancel.`);
    const { jobs, job } = await findJob(context.client, argument(context, 1, 'The id of the job'));
    const shown = verb === 'cancel' ? await jobs.cancel(job.id) : job;
    show(context, shown, () => describe(shown));
    return exitCodes.ok;
  },
};

async function list(context: Context): Promise<number> {
  const limit = integerOption(context, 'limit', 1) ?? LIMIT_DEFAULT;
  const pages = await Promise.all(jobKinds(context.client).map(([, jobs]) => jobs.list({ limit })));
  const items = pages
    .flatMap((page) => page.items)
    .sort((a, b) => b.createdAt.localeCompare(a.createdAt))
    .slice(0, limit);
  show(context, { items }, () =>
    items.length === 0
      ? 'No job yet; start one: millrace train'
      : table(
          ['job', 'kind', 'what', 'state', 'progress', 'took', 'made'],
          items.map((job) => [
            shortId(job.id),
            job.kind,
            what(job),
            job.state,
            progressOf(job),
            took(job),
            ago(job.createdAt),
          ]),
        ),
  );
  return exitCodes.ok;
}

function describe(job: JobView): string {
  const metrics = Object.entries(job.progress?.metrics ?? {}).flatMap(([name, value]) =>
    value === null ? [] : [`${name} ${short(value)}`],
  );
  return fields([
    ['job', job.id],
    ['kind', `${job.kind} (${what(job)})`],
    ['state', job.state],
    ['status', job.status],
    ['progress', progressOf(job)],
    ['metrics', metrics.join(', ')],
    ['attempt', `${job.attempt} of ${job.maxAttempts}`],
    ['worker', job.workerId],
    ['made', job.createdAt],
    ['took', took(job)],
    ['files', job.result === null ? null : job.result.files.map((file) => file.path).join(', ')],
    ['error', job.error === null ? null : `${job.error.code}: ${job.error.message}`],
  ]);
}

function what(job: JobView): string {
  const { recipe, format } = job.spec;
  return typeof recipe === 'string' ? recipe : typeof format === 'string' ? format : '';
}

function progressOf({ progress }: JobView): string {
  if (progress === null) return '-';
  if (progress.epoch !== undefined && progress.epochs !== 0)
    return `${progress.stage} ${progress.epoch}/${progress.epochs ?? '?'}`;
  return `${progress.stage} ${progress.step}/${progress.totalSteps}`;
}

function took({ startedAt, finishedAt }: JobView): string {
  if (startedAt === null) return '-';
  return duration((finishedAt === null ? Date.now() : Date.parse(finishedAt)) - Date.parse(startedAt));
}
