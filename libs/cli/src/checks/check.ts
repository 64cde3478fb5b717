/** A thing to look at; `run` returns what it found and throws what is wrong. */
export type Check = {
  readonly name: string;
  /** What to do when it fails. */
  readonly fix: string;
  run(): Promise<string>;
};

export type CheckResult = {
  readonly name: string;
  readonly result: 'ok' | 'fail' | 'skip';
  readonly found: string;
  readonly fix?: string;
};

/** Thrown by a check that has nothing to look at here. */
export class Skipped extends Error {
  override readonly name = 'Skipped';
}

const TIMEOUT_MS = 10_000;

/** Runs a check within 10 s. */
export async function runCheck(check: Check): Promise<CheckResult> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
  });
  try {
    return { name: check.name, result: 'ok', found: await Promise.race([check.run(), timeout]) };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    if (error instanceof Skipped) return { name: check.name, result: 'skip', found };
    return { name: check.name, result: 'fail', found, fix: check.fix };
  } finally {
    clearTimeout(timer);
  }
}
