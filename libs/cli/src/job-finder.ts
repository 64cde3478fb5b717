import type { JobView } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { Client, JobsClient } from '@millrace/sdk';
import { UsageError } from './command.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RECENT = 100;

/** The three kinds of jobs and where each is found. */
export function jobKinds(client: Client): readonly (readonly [string, JobsClient])[] {
  return [
    ['train', client.training],
    ['convert', client.conversions],
    ['ingest', client.ingests],
  ];
}

/** A job by its id, or by the end of the id of a recent one, as lists show it. Throws `job_not_found`. */
export async function findJob(client: Client, id: string): Promise<{ jobs: JobsClient; job: JobView }> {
  if (!/^[0-9a-f-]{4,36}$/.test(id)) throw new UsageError(`'${id}' is no job id; millrace jobs lists them.`);
  const found: { jobs: JobsClient; job: JobView }[] = [];
  for (const [, jobs] of jobKinds(client)) {
    for (const job of UUID.test(id) ? await getOne(jobs, id) : await listRecent(jobs, id))
      found.push({ jobs, job });
  }
  const [first, second] = found;
  if (second !== undefined)
    throw new UsageError(`More than one job ends with '${id}'; write more of its id.`);
  if (first === undefined)
    throw new AppError('job_not_found', `There is no job '${id}'; millrace jobs lists them.`);
  return first;
}

async function getOne(jobs: JobsClient, id: string): Promise<JobView[]> {
  try {
    return [await jobs.get(id)];
  } catch (error) {
    if (isAppError(error) && error.code === 'job_not_found') return [];
    throw error;
  }
}

async function listRecent(jobs: JobsClient, end: string): Promise<JobView[]> {
  const { items } = await jobs.list({ limit: RECENT });
  return items.filter((job) => job.id.endsWith(end));
}
