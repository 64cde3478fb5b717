import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type EnvironmentName, REPOSITORY_ROOT } from '@millrace/embedded';
import { startTestInfra, TEST_INFRA_VARIABLE } from '@millrace/testing';
import { runScript } from './lib/command-line.ts';
import { prepareEnvironments } from './lib/environments.ts';
import { pythonSteps } from './lib/python-steps.ts';
import { createReporter } from './lib/reporter.ts';
import { runSteps, type Step, summarise } from './lib/steps.ts';

const USAGE = `npm test [-- OPTIONS] [PATH...]

Sets up what is missing, starts Postgres, NATS and S3 once, and runs jest and pytest with coverage bounds.
  PATH, -t NAME, ...  passed to jest, which then runs alone and without coverage
  --jest              jest alone, whole, with its coverage bound
  --python            pytest alone
  --quick             everything, without coverage
  --help              this text`;

/** Share of lines of the inference service that its tests must run, in percent. */
const INFERENCE_LINES_MIN = 85;
const NODE_OPTIONS = '--experimental-vm-modules --disable-warning=ExperimentalWarning';
const OWN_OPTIONS = new Set(['--jest', '--python', '--quick']);

function jestStep(passed: readonly string[], withCoverage: boolean): Step {
  const bound = JSON.stringify({ global: { lines: INFERENCE_LINES_MIN } });
  const coverage = ['--coverage', `--coverageThreshold=${bound}`, '--coverageReporters=text-summary'];
  const jest = join(REPOSITORY_ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
  return {
    name: 'jest',
    command: process.execPath,
    args: [jest, ...(withCoverage ? coverage : []), ...passed],
    env: { NODE_OPTIONS },
    closingLine: /^(\S*)Tests:/,
  };
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const passed = args.filter((arg) => !OWN_OPTIONS.has(arg));
  const withCoverage = !args.includes('--quick') && passed.length === 0;
  const withJest = !args.includes('--python');
  const withPython = passed.length === 0 && !args.includes('--jest');
  const names: EnvironmentName[] = withPython ? ['training', 'conversion', 'dev'] : ['dev'];
  const environments = await prepareEnvironments(names, createReporter());
  mkdirSync(join(REPOSITORY_ROOT, '.millrace', 'coverage'), { recursive: true });
  const steps = [
    ...(withJest ? [jestStep(passed, withCoverage)] : []),
    ...(withPython ? pythonSteps(environments, withCoverage) : []),
  ];
  return runWithServers(steps);
}

/** Both runners use one set of servers; it ends with the run, also on Ctrl-C. */
async function runWithServers(steps: readonly Step[]): Promise<number> {
  const run = await startTestInfra();
  process.env[TEST_INFRA_VARIABLE] = JSON.stringify(run.infra);
  const results = await runSteps(steps);
  const leftover = await run.stop().then(
    () => null,
    (error: Error) => error.message,
  );
  if (leftover) results.push({ name: 'clean-up', isPassed: false, elapsedMs: 0, closing: leftover });
  return summarise('tests', results);
}

await runScript(main);
