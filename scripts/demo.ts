import { choosePorts, homeRoot, LaunchError, openHome, readConnection } from '@millrace/embedded';
import { CROWDMIND_POOLS, runCrowdmindDemo } from './demos/crowdmind.ts';
import { ISOTOPE_POOLS, runIsotopeDemo } from './demos/isotope.ts';
import { runVeidDemo, VEID_POOLS } from './demos/veid.ts';
import { runScript } from './lib/command-line.ts';
import { duration } from './lib/format.ts';
import { createReporter } from './lib/reporter.ts';
import { type ForegroundPlatform, runPlatform } from './lib/run-platform.ts';

const USAGE = `npm run demo -- NAME [--quick] [--stay]

  isotope    gamma spectra by physics, a net trained with PyTorch, its ONNX graph built from the weights, registered,
             signed and served; predictions with confidence and the three likeliest isotopes; the training report.
             The first run makes the environment of PyTorch.
  veid       faces compared, presentation attacks found and document lines read: three models trained bit for bit
             repeatably, converted, registered, signed, approved by digest and served.
  crowdmind  rows of sensors, a net in full int8 for microcontrollers by both doors (platform and train_and_upload.py),
             what it costs on a device, and its bundle verified offline.
  --quick    less data and fewer epochs
  --stay     leave the platform up afterwards; Ctrl-C stops it
Uses the platform that runs, if one does; it must serve the pools ${ISOTOPE_POOLS} for isotope, ${VEID_POOLS} for veid,
${CROWDMIND_POOLS} for crowdmind.`;

const EXIT_USAGE = 64;

/** What every demo is given. */
type Demo = Parameters<typeof runIsotopeDemo>[0];

const DEMOS: Readonly<Record<string, { pools: string; run(demo: Demo): Promise<string> }>> = {
  crowdmind: { pools: CROWDMIND_POOLS, run: runCrowdmindDemo },
  isotope: { pools: ISOTOPE_POOLS, run: runIsotopeDemo },
  veid: { pools: VEID_POOLS, run: runVeidDemo },
};

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const chosen = DEMOS[args[0] ?? ''];
  if (args.includes('--help') || chosen === undefined) {
    process.stdout.write(`${USAGE}\n`);
    return args.includes('--help') ? 0 : EXIT_USAGE;
  }
  const start = performance.now();
  const reporter = createReporter();
  const home = openHome(homeRoot(process.env));
  const present = readConnection(home.connectionFile);
  process.env.MILLRACE_WORKER_POOLS ??= chosen.pools;
  if (present) reporter.line(`A platform runs already at ${present.gateway}; using it.`);
  else await choosePorts(process.env);
  const running = present ? null : await runPlatform(reporter);
  const connection = present ?? (running as ForegroundPlatform).platform.connection;
  const signal = running?.signal ?? new AbortController().signal;
  reporter.line(`Up after ${duration(performance.now() - start)}: ${connection.gateway}\n`);
  try {
    const summary = await chosen.run({
      connection,
      reporter,
      signal,
      isQuick: args.includes('--quick'),
      reports: home.root,
    });
    reporter.clear();
    reporter.line(`\n${summary}\n\nAll done after ${duration(performance.now() - start)}.`);
    if (running && args.includes('--stay')) {
      reporter.line('The platform stays up; Ctrl-C stops everything.');
      await running.ended;
    }
    return 0;
  } catch (error) {
    if (!(error instanceof Error) || running?.signal.aborted) return 1;
    throw new LaunchError('demo', `${error.message} (logs of all parts: ${home.logs})`, { cause: error });
  } finally {
    await running?.stop();
  }
}

await runScript(main);
