import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type EnvironmentName, environmentsRoot, isTorchAtHand, REPOSITORY_ROOT } from '@millrace/embedded';
import { startTestInfra, TEST_INFRA_VARIABLE } from '@millrace/testing';
import { runScript } from './lib/command-line.ts';
import { prepareEnvironments } from './lib/environments.ts';
import { runJest } from './lib/jest-step.ts';
import { pythonSteps } from './lib/python-steps.ts';
import { createReporter } from './lib/reporter.ts';
import { runGroups, type StepResult, summarise } from './lib/steps.ts';

const USAGE = `npm test [-- OPTIONS] [PATH...]

Sets up what is missing, starts Postgres, NATS and S3 once, and runs jest and pytest with coverage bounds.
In a whole run up to three files of jest that fail are run once more, alone; what passes then is named as unsteady.
  PATH, -t NAME, ...  passed to jest, which then runs alone and without coverage
  --jest              jest alone, whole, with its coverage bound
  --python            pytest alone
  --quick             everything, without coverage
  --help              this text`;

/**
 * What Python compiles at an import is kept, also where the machine's settings say not to: hundreds of processes import
 * the same packages, and eight children of the analysis worker take 17 s of a core without it, 5 s with it.
 */
const KEPT_BYTECODE = { PYTHONDONTWRITEBYTECODE: '' };

const OWN_OPTIONS = new Set(['--jest', '--python', '--quick']);

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  Object.assign(process.env, KEPT_BYTECODE);
  if (args.includes('--help')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const passed = args.filter((arg) => !OWN_OPTIONS.has(arg));
  const withCoverage = !args.includes('--quick') && passed.length === 0;
  const withJest = !args.includes('--python');
  const withPython = passed.length === 0 && !args.includes('--jest');
  const names: EnvironmentName[] = withPython ? ['training', 'conversion', 'analysis', 'dev'] : ['dev'];
  if (withPython && (await isTorchAtHand(environmentsRoot(process.env), process.env))) names.push('torch');
  const environments = await prepareEnvironments(names, createReporter());
  mkdirSync(join(REPOSITORY_ROOT, '.millrace', 'coverage'), { recursive: true });
  const isRepeating = passed.length === 0 && !process.env.MILLRACE_TEST_LONG;
  return withServers(async () => {
    const jest = withJest ? runJest({ passed, withCoverage, isRepeating }) : Promise.resolve([]);
    // jest's lanes wait for servers and workers now and then; one lane of pytest uses that time
    const pytest = withPython
      ? runGroups(pythonSteps(environments, withCoverage), jest)
      : Promise.resolve([]);
    // both tell of an interruption
    return [...new Set((await Promise.all([jest, pytest])).flat())];
  });
}

/** Both runners use one set of servers; it ends with the run, also on Ctrl-C. */
async function withServers(run: () => Promise<StepResult[]>): Promise<number> {
  const servers = await startTestInfra();
  process.env[TEST_INFRA_VARIABLE] = JSON.stringify(servers.infra);
  const results = await run();
  const leftover = await servers.stop().then(
    () => null,
    (error: Error) => error.message,
  );
  if (leftover) results.push({ name: 'clean-up', isPassed: false, elapsedMs: 0, closing: leftover });
  return summarise('tests', results);
}

await runScript(main);
