import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import type { Step, StepResult } from './steps.ts';
import { isInterrupted, runSteps } from './steps.ts';

/** Share of lines of the inference service that its tests must run, in percent. */
const INFERENCE_LINES_MIN = 85;
/** More failed files than this are no accident of one machine and are not run again. */
const REPEATED_FILES_MAX = 3;
const NODE_OPTIONS = '--experimental-vm-modules --disable-warning=ExperimentalWarning';
/** Compiled code of everything that tests start: hundreds of processes run the same sources. */
const NODE_COMPILE_CACHE = join(REPOSITORY_ROOT, 'node_modules', '.cache', 'millrace', 'compiled');

/** The part of jest's JSON report that is read here. */
type JestReport = {
  numPassedTests: number;
  numTotalTests: number;
  testResults: {
    name: string;
    status: string;
    assertionResults: { fullName: string; status: string }[];
  }[];
};

type JestRun = { results: StepResult[]; report: JestReport | null; isCovered: boolean };

/** How jest is run. */
export type JestOptions = {
  /** Paths and options passed on to jest. */
  passed: readonly string[];
  withCoverage: boolean;
  /** Whether files that fail are run once more, alone, before they count as failed. */
  isRepeating: boolean;
};

/**
 * Runs jest and names every test that failed in the closing line. With `isRepeating`, up to three failed files are run
 * once more, one after the other; a test that passes then is named as unsteady, and the run as a whole has passed.
 */
export async function runJest({ passed, withCoverage, isRepeating }: JestOptions): Promise<StepResult[]> {
  const first = await runOnce('jest', withCoverage, passed);
  const { results, report } = first;
  const [result] = results;
  if (result === undefined || result.isPassed || report === null || isInterrupted(results)) return results;
  const failed = failedTests(report);
  const named = { ...result, closing: [result.closing, ...failed].join('\n  failed: ') };
  const files = failedFiles(report);
  const isAccident = first.isCovered && files.length > 0 && files.length <= REPEATED_FILES_MAX;
  if (!isRepeating || !isAccident) return [named];
  const again = await runOnce('jest again', false, ['--runInBand', '--runTestsByPath', ...files]);
  if (!again.results.every(({ isPassed }) => isPassed)) return [named, ...again.results];
  const { numPassedTests, numTotalTests } = report;
  process.stdout.write(`${numTotalTests} passed, 0 failed\n`);
  const closing = `Tests: ${numPassedTests} passed at once, ${failed.length} when run again, ${numTotalTests} total`;
  return [
    { ...result, isPassed: true, closing: [closing, ...failed].join('\n  unsteady: ') },
    ...again.results,
  ];
}

async function runOnce(name: string, withCoverage: boolean, passed: readonly string[]): Promise<JestRun> {
  const folder = join(REPOSITORY_ROOT, '.millrace', 'test-reports');
  mkdirSync(folder, { recursive: true });
  const reportFile = join(folder, `${name.replaceAll(' ', '-')}-${process.pid}.json`);
  let isCovered = true;
  const step: Step = {
    name,
    command: process.execPath,
    args: [
      join(REPOSITORY_ROOT, 'node_modules', 'jest', 'bin', 'jest.js'),
      ...(withCoverage ? coverageOptions() : []),
      '--json',
      `--outputFile=${reportFile}`,
      ...passed,
    ],
    env: { NODE_OPTIONS, NODE_COMPILE_CACHE },
    closingLine: /^(\S*)Tests:/,
    onLine: (line) => {
      if (/coverage threshold .*not met/.test(line)) isCovered = false;
    },
  };
  const results = await runSteps([step]);
  const report = readReport(reportFile);
  rmSync(reportFile, { force: true });
  return { results, report, isCovered };
}

function coverageOptions(): string[] {
  const bound = JSON.stringify({ global: { lines: INFERENCE_LINES_MIN } });
  return ['--coverage', `--coverageThreshold=${bound}`, '--coverageReporters=text-summary'];
}

/** jest's report, or null when jest ended before it could write one. */
function readReport(file: string): JestReport | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as JestReport;
  } catch {
    return null;
  }
}

function failedFiles(report: JestReport): string[] {
  return report.testResults.filter(({ status }) => status === 'failed').map(({ name }) => name);
}

/** `FILE › TEST` for each test that failed, or the file alone when it could not be run at all. */
function failedTests(report: JestReport): string[] {
  return report.testResults
    .filter(({ status }) => status === 'failed')
    .flatMap(({ name, assertionResults }) => {
      const file = relative(REPOSITORY_ROOT, name);
      const failed = assertionResults.filter(({ status }) => status === 'failed');
      return failed.length === 0 ? [file] : failed.map(({ fullName }) => `${file} › ${fullName}`);
    });
}
