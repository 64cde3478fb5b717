import { delimiter, join } from 'node:path';
import { type Environment, type EnvironmentName, pythonPath, REPOSITORY_ROOT } from '@millrace/embedded';
import type { Step } from './steps.ts';

/** Share of lines that tests must run, in percent. */
const WORKER_LINES_MIN = 90;
const EXPORT_LINES_MIN = 95;

/** Beside jest, some of whose tests measure time, pytest takes what is left of the machine. */
const NICENESS = 10;

type Suite = {
  name: string;
  environment: 'training' | 'conversion' | 'analysis' | 'torch' | 'dev';
  /** Whose sources are on the path; without a worker those of the folders themselves. */
  worker?: 'training-worker' | 'conversion-worker' | 'analysis-worker';
  folders: readonly string[];
  packages: readonly string[];
  linesMin: number | null;
  /** Coverage settings other than those of pyproject.toml, for packages that another suite measures. */
  coverageConfig?: string;
  /** Files with a bound of their own. */
  stricter?: { pattern: string; linesMin: number };
};

/** The longest first; those whose tests measure time run last, when the rest of the machine is idle or about to be. */
const SUITES: readonly Suite[] = [
  {
    name: 'pytest training',
    environment: 'training',
    worker: 'training-worker',
    folders: ['services/training-worker/tests'],
    packages: ['millrace_training', 'millrace_factory'],
    linesMin: WORKER_LINES_MIN,
    coverageConfig: 'services/training-worker/coverage-tensorflow.toml',
    stricter: { pattern: '*/millrace_training/*export*', linesMin: EXPORT_LINES_MIN },
  },
  {
    name: 'pytest conversion',
    environment: 'conversion',
    worker: 'conversion-worker',
    folders: ['services/conversion-worker'],
    packages: ['millrace_conversion'],
    linesMin: WORKER_LINES_MIN,
  },
  {
    name: 'pytest analysis',
    environment: 'analysis',
    worker: 'analysis-worker',
    folders: ['services/analysis-worker'],
    packages: ['millrace_analysis'],
    linesMin: WORKER_LINES_MIN,
  },
  {
    name: 'pytest torch',
    environment: 'torch',
    worker: 'training-worker',
    folders: ['services/training-worker/tests-torch'],
    packages: ['millrace_training'],
    linesMin: WORKER_LINES_MIN,
    coverageConfig: 'services/training-worker/coverage-torch.toml',
  },
  {
    name: 'pytest worker-py',
    environment: 'training',
    worker: 'training-worker',
    folders: ['libs/worker-py'],
    packages: ['millrace_worker'],
    linesMin: null,
  },
  {
    name: 'pytest client',
    environment: 'dev',
    folders: ['libs/client-py'],
    packages: ['millrace_client'],
    linesMin: WORKER_LINES_MIN,
  },
];

function pathOf({ worker, folders }: Suite): NodeJS.ProcessEnv {
  if (worker !== undefined) return pythonPath(worker);
  return { PYTHONPATH: folders.map((folder) => join(REPOSITORY_ROOT, folder, 'src')).join(delimiter) };
}

/**
 * The pytest runs, each in the environment its worker runs in, with the coverage bounds of single modules after it. The
 * groups depend on nothing of each other.
 */
export function pythonSteps(
  environments: ReadonlyMap<EnvironmentName, Environment>,
  withCoverage: boolean,
): Step[][] {
  return SUITES.map((suite) => {
    const python = environments.get(suite.environment)?.python ?? '';
    if (python === '' && suite.environment === 'torch') return [leftOut(suite)];
    const data = join(REPOSITORY_ROOT, '.millrace', 'coverage', suite.name.replaceAll(' ', '-'));
    const env = { ...pathOf(suite), COVERAGE_FILE: data };
    const bound = suite.linesMin === null ? [] : [`--cov-fail-under=${suite.linesMin}`];
    const config = suite.coverageConfig === undefined ? [] : [`--cov-config=${suite.coverageConfig}`];
    const named = suite.packages.map((name) => `--cov=${name}`);
    const coverage = [...named, '--cov-report=term', ...config, ...bound];
    const run: Step = {
      name: suite.name,
      command: python,
      args: ['-m', 'pytest', '-q', ...suite.folders, ...(withCoverage && suite.linesMin ? coverage : [])],
      env,
      niceness: NICENESS,
      closingLine: /\d+ (passed|failed|error).* in [\d.]+/,
    };
    if (!withCoverage || !suite.stricter) return [run];
    const { pattern, linesMin } = suite.stricter;
    const check: Step = {
      name: `${suite.name}: export`,
      command: python,
      args: ['-m', 'coverage', 'report', `--include=${pattern}`, `--fail-under=${linesMin}`],
      env,
      closingLine: /^TOTAL/,
    };
    return [run, check];
  });
}

/** What stands in for a suite whose environment would take gigabytes from the network; the summary shows its line. */
function leftOut({ name }: Suite): Step {
  const reason = 'left out: no CPU build of PyTorch on disk; npm run env -- torch makes the environment';
  return {
    name,
    command: process.execPath,
    args: ['-e', `console.log(${JSON.stringify(reason)})`],
    closingLine: /^left out/,
  };
}
