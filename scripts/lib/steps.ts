import { spawn } from 'node:child_process';
import { availableParallelism, setPriority } from 'node:os';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import { duration } from './format.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** Groups that run at a time: a suite keeps one core busy and waits for servers between. */
const LANES = 2;

/** A command that a check consists of. */
export type Step = {
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Of the command and all that it starts, as `nice` counts: of two that want a core, the one with less gets it. */
  niceness?: number;
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
export function runSteps(steps: readonly Step[]): Promise<StepResult[]> {
  return untilInterrupted((signal) => runInOrder(steps, signal, printedAsItComes));
}

/**
 * Runs groups of steps, `LANES` groups at a time; the steps of a group follow each other. Output of a step is held
 * until its end, so that those of two never mix. Results are in the order of the groups. As long as `other` is not
 * settled, which fills the lanes without keeping the machine busy all the time, only one group runs beside it.
 */
export function runGroups(
  groups: readonly (readonly Step[])[],
  other: Promise<unknown> = Promise.resolve(),
): Promise<StepResult[]> {
  return untilInterrupted(async (signal) => {
    const results: StepResult[][] = [];
    const waiting = [...groups.entries()];
    const lane = async (_: unknown, number: number): Promise<void> => {
      if (number > 0) await other;
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [index, steps] = next;
        results[index] = await runInOrder(steps, signal, printedAtTheEnd);
      }
    };
    await Promise.all(Array.from({ length: Math.min(LANES, availableParallelism()) }, lane));
    return results.flat();
  });
}

async function untilInterrupted(run: (signal: AbortSignal) => Promise<StepResult[]>): Promise<StepResult[]> {
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const results = await run(abort.signal);
  for (const signal of SIGNALS) process.off(signal, interrupt);
  return abort.signal.aborted ? [...results, INTERRUPTION] : results;
}

async function runInOrder(
  steps: readonly Step[],
  signal: AbortSignal,
  createPrinter: () => Printer,
): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const step of steps) if (!signal.aborted) results.push(await runStep(step, signal, createPrinter()));
  return results;
}

/** Where the output of a step goes. */
type Printer = { write(chunk: string | Buffer, to: NodeJS.WriteStream): void; end(): void };

function printedAsItComes(): Printer {
  return { write: (chunk, to) => void to.write(chunk), end: () => undefined };
}

function printedAtTheEnd(): Printer {
  const held: { chunk: string | Buffer; to: NodeJS.WriteStream }[] = [];
  return {
    write: (chunk, to) => void held.push({ chunk, to }),
    end: () => {
      for (const { chunk, to } of held) to.write(chunk);
    },
  };
}

/** Runs a step; one that cannot be run or was interrupted has failed. */
async function runStep(step: Step, signal: AbortSignal, printer: Printer): Promise<StepResult> {
  printer.write(`\n=== ${step.name}\n`, process.stdout);
  const start = performance.now();
  let closing = '';
  const child = spawn(step.command, step.args, {
    cwd: REPOSITORY_ROOT,
    env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}), ...step.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (step.niceness !== undefined && child.pid !== undefined) setPriority(child.pid, step.niceness);
  const end = (): boolean => child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  const passOn = (from: NodeJS.ReadableStream, to: NodeJS.WriteStream): void => {
    from.on('data', (chunk: Buffer) => {
      printer.write(chunk, to);
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
      printer.write(`${step.command}: ${error.message}\n`, process.stderr);
      resolve(false);
    });
    child.once('close', (code) => resolve(code === 0));
  });
  signal.removeEventListener('abort', end);
  const counts = jestCounts(closing);
  if (counts !== null) printer.write(`${counts}\n`, process.stdout);
  printer.end();
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
