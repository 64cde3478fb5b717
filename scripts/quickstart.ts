import { choosePorts, homeRoot, LaunchError, openHome, readConnection } from '@millrace/embedded';
import { readOptions, runScript } from './lib/command-line.ts';
import { duration } from './lib/format.ts';
import { createReporter } from './lib/reporter.ts';
import { type ForegroundPlatform, runPlatform } from './lib/run-platform.ts';
import { runMainJob } from './quickstart-job.ts';

const USAGE = `npm run quickstart [-- --exit]

Sets everything up, starts the platform, and carries one model through it: images, training, ONNX, registry,
prediction, feedback, metrics. Stays up afterwards; Ctrl-C stops everything.
  --exit           stop everything after the job; the status tells how it went
  --full           train at full size (10 epochs, 1,000 samples) instead of 5 and 500
  --epochs N       so many epochs
  --samples N      so many samples
  --seed N         seed of data and training
  --help           this text`;

const options = readOptions({
  usage: USAGE,
  options: {
    exit: { type: 'boolean' },
    full: { type: 'boolean' },
    epochs: { type: 'string' },
    samples: { type: 'string' },
    seed: { type: 'string' },
  },
});

const start = performance.now();
const reporter = createReporter();

function wholeNumber(name: 'epochs' | 'samples' | 'seed', fallback: number): number {
  const value = Number(options[name] ?? fallback);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new LaunchError('quickstart', `--${name} must be a whole number, it is '${options[name]}'`);
}

async function main(): Promise<number> {
  const size = {
    epochs: wholeNumber('epochs', options.full ? 10 : 5),
    samples: wholeNumber('samples', options.full ? 1_000 : 500),
    seed: wholeNumber('seed', 42),
  };
  const home = openHome(homeRoot(process.env));
  const present = readConnection(home.connectionFile);
  if (present) reporter.line(`A platform runs already at ${present.gateway}; using it.`);
  else await choosePorts(process.env);
  reporter.line('Setting up');
  const running = present ? null : await runPlatform(reporter);
  const connection = present ?? (running as ForegroundPlatform).platform.connection;
  const signal = running?.signal ?? new AbortController().signal;
  reporter.line(`Up after ${duration(performance.now() - start)}: ${connection.gateway}\n`);
  try {
    const summary = await runMainJob({ connection, reporter, signal, ...size });
    reporter.clear();
    reporter.line(`\n${summary}\n\nAll done after ${duration(performance.now() - start)}.`);
  } catch (error) {
    return await giveUp(error as Error, home.logs, running);
  }
  if (running && !options.exit) {
    reporter.line('The platform stays up; Ctrl-C stops everything.');
    await running.ended.catch((error: Error) => reporter.line(`  ! ${error.message}`));
  }
  await running?.stop();
  return 0;
}

async function giveUp(error: Error, logs: string, running: ForegroundPlatform | null): Promise<number> {
  reporter.clear();
  const wasAsked = running?.signal.aborted === true;
  const down = running?.platform.state().parts.filter((part) => part.status !== 'running') ?? [];
  if (!wasAsked) {
    reporter.line(`\nThe job failed: ${error.message}`);
    for (const part of down)
      reporter.line(`  ${part.name} is ${part.status}: ${part.reason} (log: ${part.logFile})`);
    reporter.line(`  logs of all parts: ${logs}`);
  }
  await running?.stop();
  return 1;
}

await runScript(main);
