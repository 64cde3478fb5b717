import { isTerminal } from '@millrace/contracts';
import type { LogLine } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { plain } from '../format.ts';
import { findJob } from '../job-finder.ts';

const PAGE = 1_000;
const POLL_MS = 500;

export const logsCommand: Command = {
  name: 'logs',
  summary: 'log of a job, with --follow until it ends',
  help: `millrace logs JOB [--follow]

Prints what the worker of a job logged. With --follow it goes on until the job has ended and exits 1 if it failed.
With --json each line is a JSON object.`,
  options: { follow: { type: 'boolean', short: 'f' } },
  async run(context) {
    const { jobs, job } = await findJob(context.client, argument(context, 0, 'The id of the job'));
    let after = 0;
    for (;;) {
      // The state is asked for first: lines that came before the end are then all there.
      const { state } = await jobs.get(job.id);
      for (;;) {
        const lines = await jobs.logs(job.id, { after, limit: PAGE });
        for (const line of lines) print(context, line);
        after = lines.at(-1)?.seq ?? after;
        if (lines.length < PAGE) break;
      }
      if (context.options.follow !== true) return exitCodes.ok;
      if (isTerminal(state)) return state === 'succeeded' ? exitCodes.ok : exitCodes.failed;
      if (context.signal.aborted) return exitCodes.interrupted;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  },
};

function print(context: Context, line: LogLine): void {
  const text = `${line.time.slice(11, 23)} ${line.level.padEnd(7)} ${plain(line.message)}`;
  context.print(context.isJson ? JSON.stringify(line) : text);
}
