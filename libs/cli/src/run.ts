import { isAppError } from '@millrace/contracts';
import { createClient } from '@millrace/sdk';
import type { Command, Context } from './command.ts';
import { readArguments, UsageError } from './command.ts';
import { approvalsCommand } from './commands/approvals.ts';
import { approvedCommand } from './commands/approved.ts';
import { auditCommand } from './commands/audit.ts';
import { batchCommand } from './commands/batch.ts';
import { convertCommand } from './commands/convert.ts';
import { datasetsCommand } from './commands/datasets.ts';
import { dlqCommand } from './commands/dlq.ts';
import { doctorCommand } from './commands/doctor.ts';
import { exportCommand } from './commands/export.ts';
import { featuresCommand } from './commands/features.ts';
import { gcCommand } from './commands/gc.ts';
import { importCommand } from './commands/import.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { logsCommand } from './commands/logs.ts';
import { modelsCommand } from './commands/models.ts';
import { monitorCommand } from './commands/monitor.ts';
import { predictCommand } from './commands/predict.ts';
import { principalsCommand } from './commands/principals.ts';
import { rolloutsCommand } from './commands/rollouts.ts';
import { statusCommand } from './commands/status.ts';
import { tenantsCommand } from './commands/tenants.ts';
import { trainCommand } from './commands/train.ts';
import { uploadCommand } from './commands/upload.ts';
import { verifyCommand } from './commands/verify.ts';
import { verifyRebuildCommand } from './commands/verify-rebuild.ts';
import { webhooksCommand } from './commands/webhooks.ts';
import { findConnection } from './connection.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';
import { plain } from './format.ts';
import { packageVersion } from './version.ts';

const commands: readonly Command[] = [
  statusCommand,
  trainCommand,
  jobsCommand,
  logsCommand,
  modelsCommand,
  datasetsCommand,
  featuresCommand,
  batchCommand,
  predictCommand,
  rolloutsCommand,
  monitorCommand,
  uploadCommand,
  importCommand,
  convertCommand,
  exportCommand,
  approvalsCommand,
  approvedCommand,
  auditCommand,
  verifyCommand,
  verifyRebuildCommand,
  webhooksCommand,
  keysCommand,
  principalsCommand,
  tenantsCommand,
  gcCommand,
  dlqCommand,
  doctorCommand,
];

const GLOBAL_HELP = `For every command:
  --url ORIGIN   gateway to talk to; default: MILLRACE_URL, else the platform of MILLRACE_HOME or the nearest .millrace
  --token KEY    API key; default: MILLRACE_TOKEN, else the key of that platform
  --json         output for programs
  --help         what the command does

Exit codes: 0 done, 1 failed, 64 wrong arguments, 69 the platform does not answer, 77 key missing or without the scope.`;

/** What the process gives to the command line. */
export type Surroundings = Pick<Context, 'env' | 'cwd' | 'isTerminal' | 'signal' | 'readInput'> & {
  write(text: string): void;
  writeError(text: string): void;
};

/** Runs one command line (without `node` and the script) and returns the exit code. */
export async function runCli(args: readonly string[], around: Surroundings): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    around.write(`${overview()}\n`);
    return name === undefined ? exitCodes.usage : exitCodes.ok;
  }
  if (name === '--version') {
    around.write(`${packageVersion()}\n`);
    return exitCodes.ok;
  }
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    around.writeError(`millrace: there is no command '${plain(name)}'.\n\n${overview()}\n`);
    return exitCodes.usage;
  }
  try {
    const { values, positionals } = readArguments(command, rest);
    if (values.help === true) {
      around.write(`${command.help}\n\n${GLOBAL_HELP}\n`);
      return exitCodes.ok;
    }
    return await command.run(contextOf(around, values, positionals));
  } catch (error) {
    return explain(error, around);
  }
}

function contextOf(
  around: Surroundings,
  options: Context['options'],
  positionals: readonly string[],
): Context {
  const text = (name: string) => (typeof options[name] === 'string' ? (options[name] as string) : undefined);
  const { env, cwd } = around;
  const connection = findConnection({ url: text('url'), token: text('token'), env, cwd });
  const { url, token } = connection;
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new UsageError(`--url takes an origin like http://127.0.0.1:9926, not '${url}'.`);
  return {
    client: createClient({ url, ...(token === undefined ? {} : { token }) }),
    connection,
    positionals,
    options,
    isJson: options.json === true,
    ...around,
    print: (line) => around.write(`${line}\n`),
    redraw: (line) => around.write(`\r\u001b[K${plain(line)}`),
    note: (line) => around.writeError(`${line}\n`),
  };
}

function explain(error: unknown, around: Surroundings): number {
  if (error instanceof UsageError) {
    around.writeError(`millrace: ${plain(error.message)}\n`);
    return exitCodes.usage;
  }
  if (!isAppError(error)) throw error;
  const requestId = error.details?.requestId;
  const where = typeof requestId === 'string' ? ` (request ${requestId})` : '';
  around.writeError(`millrace: ${error.code}: ${plain(error.message)}${where}\n`);
  return exitCodeOf(error);
}

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `millrace COMMAND [OPTIONS]\nmillrace --version\n\n${lines.join('\n')}\n\n${GLOBAL_HELP}`;
}
