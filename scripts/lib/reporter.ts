import { duration } from './format.ts';

const CLEAR_LINE = '\r\u001b[2K';
const REFRESH_MS = 100;
const NAME_WIDTH = 24;

/** Where a run tells what it does: one moving line in a terminal, plain lines anywhere else. */
export type Reporter = {
  /** A line that stays. */
  line(text: string): void;
  /** A part that is done: its name, how long it took, and what came of it. */
  part(name: string, elapsedMs: number, detail?: string): void;
  /**
   * What is going on now. In a terminal it replaces the one before; elsewhere it is printed only when `milestone`
   * differs from the one before, so that a log holds one line an epoch and not one a batch.
   */
  progress(text: string, milestone: string): void;
  /** Removes the moving line. */
  clear(): void;
};

/** A reporter on a stream; `isTerminal` is for tests and follows the stream otherwise. */
export function createReporter(
  stream: NodeJS.WriteStream = process.stdout,
  isTerminal = stream.isTTY === true,
): Reporter {
  const start = performance.now();
  let moving = '';
  let lastMilestone = '';
  let lastDraw = 0;
  // A closed terminal must not end the run: what was started still has to be stopped.
  stream.on('error', () => undefined);
  const clear = (): void => {
    if (moving) stream.write(CLEAR_LINE);
    moving = '';
  };
  const line = (text: string): void => {
    clear();
    stream.write(`${text}\n`);
  };
  return {
    line,
    clear,
    part(name, elapsedMs, detail = '') {
      line(`  ${name.padEnd(NAME_WIDTH)} ${duration(elapsedMs).padStart(10)}  ${detail}`.trimEnd());
    },
    progress(text, milestone) {
      const stamped = `  ${text}  [${duration(performance.now() - start)}]`;
      const isNew = milestone !== lastMilestone;
      lastMilestone = milestone;
      if (!isTerminal) {
        if (isNew) stream.write(`${stamped}\n`);
        return;
      }
      if (!isNew && performance.now() - lastDraw < REFRESH_MS) return;
      lastDraw = performance.now();
      moving = stamped.slice(0, (stream.columns ?? 80) - 1);
      stream.write(`${CLEAR_LINE}${moving}`);
    },
  };
}
