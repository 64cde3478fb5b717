import { AppError } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import type { Runner, RunRequest } from './runner.ts';

/** Large requests that wait for the hosts; more are refused, since the queue has let go of them. */
const LARGE_WAITING_MAX = 16;

function assertInTime(requests: readonly RunRequest[] = []): void {
  const now = performance.now();
  if (requests.some(({ isGone }) => isGone?.() === true))
    throw new AppError('request_cancelled', 'The caller went away before the model ran.');
  if (requests.every(({ queuedAt, deadlineMs }) => now - queuedAt < deadlineMs)) return;
  throw new AppError('deadline_exceeded', 'The request waited for other large ones and was not run.');
}

/**
 * Runs a fast model inline, but requests of more than `rowsMax` rows, which would hold up the event loop and cannot be cut
 * into pieces, one at a time in hosts that are started for the first of them.
 */
export function createDividedRunner(
  inline: Runner,
  rowsMax: number,
  openHosts: () => Promise<Runner>,
): Runner {
  let opening: Promise<Runner> | undefined;
  let hosts: Runner | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  let isClosed = false;

  async function hosted(): Promise<Runner> {
    opening ??= openHosts();
    try {
      hosts = await opening;
    } catch (error) {
      opening = undefined;
      throw error;
    }
    if (isClosed) await hosts.close();
    const fault = hosts.fault();
    if (fault !== undefined) throw fault;
    return hosts;
  }

  async function runLarge(...args: Parameters<Runner['run']>): ReturnType<Runner['run']> {
    if (waiting >= LARGE_WAITING_MAX)
      throw new AppError('queue_full', `${waiting} large requests wait for the model; try again.`);
    waiting += 1;
    const before = turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    turn = promise;
    try {
      await before;
      assertInTime(args[2]);
      const runner = await hosted();
      return await runner.run(...args);
    } finally {
      waiting -= 1;
      resolve();
    }
  }

  return {
    ...inline,
    run(inputs: readonly Tensor[], outputs, requests) {
      const isLarge = (inputs[0]?.shape[0] as number) > rowsMax;
      return isLarge ? runLarge(inputs, outputs, requests) : inline.run(inputs, outputs, requests);
    },
    residentBytes: () => inline.residentBytes() + (hosts?.residentBytes() ?? 0),
    pids: () => hosts?.pids() ?? [],
    async close() {
      isClosed = true;
      await Promise.all([inline.close(), hosts?.close()]);
    },
  };
}
