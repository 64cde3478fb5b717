import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { LaunchError } from '@millrace/embedded';

const EXIT_USAGE = 64;

/** Text and options of one script. */
export type CommandSpec<T extends ParseArgsOptionsConfig> = { usage: string; options: T };

/** Reads the options; prints the usage and ends on `--help`, and with status 64 on an option it does not know. */
export function readOptions<const T extends ParseArgsOptionsConfig>(
  spec: CommandSpec<T>,
): ReturnType<typeof parseArgs<{ options: T }>>['values'] {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${spec.usage}\n`);
    process.exit(0);
  }
  try {
    return parseArgs({ args, options: spec.options }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${spec.usage}\n`);
    process.exit(EXIT_USAGE);
  }
}

/** Runs a script; a fault is one message without a stack, unless it is a fault of the script itself. */
export async function runScript(main: () => Promise<number>): Promise<never> {
  try {
    process.exit(await main());
  } catch (error) {
    const text = error instanceof LaunchError ? error.message : ((error as Error).stack ?? String(error));
    process.stderr.write(`\n${text}\n`);
    process.exit(1);
  }
}
