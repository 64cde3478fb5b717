import { spawn } from 'node:child_process';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import { duration } from './format.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** A command that a check consists of. */
export type Step = {
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Finds the runner's closing line in its output, for the summary. */
  closingLine?: RegExp;
  /** Told each line of output. */
  onLine?: (line: string) => void;
};

/** How a step ended. */
export type StepResult = { name: string; isPassed: boolean; elapsedMs: number; closing: string };

const INTERRUPTION: StepResult = { name: 'interrupted', isPassed: false, elapsedMs: 0, closing: '' };

/** Whether a run ended before its end, by Ctrl-C or SIGTERM; the next one is not to be started then. */
export function isInterrupted(results: readonly StepResult[]): boolean {
  return results.includes(INTERRUPTION);
}

/** Runs steps one after another, all of them whatever fails; Ctrl-C or SIGTERM ends the current one and the run. */
export async function runSteps(steps: readonly Step[]): Promise<StepResult[]> {
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const results: StepResult[] = [];
  for (const step of steps) if (!abort.signal.aborted) results.push(await runStep(step, abort.signal));
  for (const signal of SIGNALS) process.off(signal, interrupt);
  if (abort.signal.aborted) results.push(INTERRUPTION);
  return results;
}

/** A step whose output is passed on as it comes; one that cannot be run or was interrupted has failed. */
async function runStep(step: Step, signal: AbortSignal): Promise<StepResult> {
  process.stdout.write(`\n=== ${step.name}\n`);
  const start = performance.now();
  let closing = '';
  const child = spawn(step.command, step.args, {
    cwd: REPOSITORY_ROOT,
    env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}), ...step.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): boolean => child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  const passOn = (from: NodeJS.ReadableStream, to: NodeJS.WriteStream): void => {
    from.on('data', (chunk: Buffer) => {
      to.write(chunk);
      for (const line of chunk.toString().split('\n')) {
        step.onLine?.(line);
        if (step.closingLine?.test(line)) closing = line.trim();
      }
    });
  };
  passOn(child.stdout, process.stdout);
  passOn(child.stderr, process.stderr);
  const isPassed = await new Promise<boolean>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`${step.command}: ${error.message}\n`);
      resolve(false);
    });
    child.once('close', (code) => resolve(code === 0));
  });
  signal.removeEventListener('abort', end);
  const counts = jestCounts(closing);
  if (counts !== null) process.stdout.write(`${counts}\n`);
  return { name: step.name, isPassed, elapsedMs: performance.now() - start, closing };
}

/** jest's closing line as `N passed, N failed`, which tools that count tests of any runner can read. */
function jestCounts(closing: string): string | null {
  if (!/Tests:.*\btotal\b/.test(closing)) return null;
  const count = (what: string): string => new RegExp(`(\\d+) ${what}`).exec(closing)?.[1] ?? '0';
  return `${count('passed')} passed, ${count('failed')} failed`;
}

/** Prints one line a step; returns the exit status of the whole: 0 when all passed. */
export function summarise(title: string, results: readonly StepResult[]): number {
  const width = Math.max(...results.map(({ name }) => name.length));
  process.stdout.write(`\n=== ${title}\n`);
  for (const { name, isPassed, elapsedMs, closing } of results) {
    const verdict = isPassed ? 'ok  ' : 'FAIL';
    const line = `${verdict} ${name.padEnd(width)} ${duration(elapsedMs).padStart(12)}  ${closing}`;
    process.stdout.write(`${line.trimEnd()}\n`);
  }
  const failed = results.filter(({ isPassed }) => !isPassed).map(({ name }) => name);
  process.stdout.write(failed.length === 0 ? 'all passed\n' : `failed: ${failed.join(', ')}\n`);
  return failed.length === 0 ? 0 : 1;
}
