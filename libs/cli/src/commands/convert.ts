import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { JobView } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { Command, Context } from '../command.ts';
import { argument, textOption, UsageError } from '../command.ts';
import { showConversion } from '../conversions/conversion-report.ts';
import { conversionRequest, MODES } from '../conversions/conversion-request.ts';
import { exitCodes } from '../exit-codes.ts';
import { findJob } from '../job-finder.ts';
import { progressText } from '../job-progress.ts';

export const convertCommand: Command = {
  name: 'convert',
  summary: 'export what a training made, or a conversion read, to ONNX again: another opset, quantised',
  help: `millrace convert JOB [--out FOLDER] [--opset N] [--quantize MODE] [--target COLUMN] [--no-fuse]

Converts the weights or the SavedModel of a training job, or once more what a conversion job read, and shows the report.
A quantised model takes its samples from the dataset version that the training used.
  --out FOLDER      downloads model.onnx, conversion.json and labels.txt
  --opset N         13 to 18; default: 17
  --quantize MODE   ${MODES.join(', ')}
  --target COLUMN   truth in the dataset, for the accuracy of both models
  --agreement-min X least share of rows on which both models decide alike; default: 0.95
  --input-name, --output-name NAME   of the graph, and
  --no-fuse         MatMul and Add stay as they are: for weights`,
  options: {
    out: { type: 'string', short: 'o' },
    opset: { type: 'string' },
    quantize: { type: 'string' },
    target: { type: 'string' },
    'agreement-min': { type: 'string' },
    'input-name': { type: 'string' },
    'output-name': { type: 'string' },
    'no-fuse': { type: 'boolean' },
  },
  async run(context) {
    const out = textOption(context, 'out');
    const target = out === undefined ? undefined : resolve(context.cwd, out);
    if (target !== undefined && existsSync(target))
      throw new UsageError(`'${out}' exists already; name another place.`);
    const job = await findSource(context, argument(context, 0, 'The id of the job'));
    const submitted = await context.client.conversions.create(conversionRequest(context, job));
    const done = await follow(context, submitted);
    if (done.state !== 'succeeded')
      throw new AppError(
        'conversion_failed',
        `The conversion ${done.state}: ${done.error?.code}: ${done.error?.message}`,
      );
    if (target !== undefined) await download(context, done, target);
    showConversion(context, done, out);
    return exitCodes.ok;
  },
};

/** A conversion is found without asking for trainings. */
async function findSource({ client }: Context, id: string): Promise<JobView> {
  try {
    return await client.conversions.get(id);
  } catch (error) {
    if (!isAppError(error) || !['job_not_found', 'invalid_request'].includes(error.code)) throw error;
    return (await findJob(client, id)).job;
  }
}

async function follow(context: Context, submitted: JobView): Promise<JobView> {
  let last = submitted;
  for await (const news of context.client.conversions.follow(submitted.id, { signal: context.signal })) {
    if (news.type === 'state') last = news.job;
    if (news.type === 'progress' && context.isTerminal && !context.isJson)
      context.redraw(progressText(news.progress));
  }
  if (context.isTerminal && !context.isJson) context.redraw('');
  return last;
}

/** Into a folder beside the target, which appears only when it is whole. */
async function download(context: Context, job: JobView, target: string): Promise<void> {
  const draft = `${target}.part`;
  await mkdir(draft, { recursive: true });
  for (const { path, url } of await context.client.conversions.files(job.id)) {
    const response = await fetch(url, { signal: context.signal });
    if (!response.ok || response.body === null)
      throw new AppError('storage_unavailable', `The object store answered ${response.status} for ${path}.`);
    await pipeline(Readable.fromWeb(response.body as never), createWriteStream(join(draft, path)));
  }
  await rename(draft, target);
}
