import { setImmediate } from 'node:timers/promises';
import type { Tensor } from '../tensors/tensor.ts';
import { joinRows, sliceRows } from './join-tensors.ts';
import type { Runner } from './runner.ts';
import type { RuntimeSession } from './runtime-session.ts';

/**
 * Runs a fast model in this process; `residentBytes` was measured when it was probed in a host. A request of more than
 * `rowsMax` rows is run piece by piece, with a turn of the event loop between them; undefined never divides. Up to
 * `runsMax` runs are begun in one turn, which takes as long as they do together.
 */
export function createInlineRunner(
  session: RuntimeSession,
  { residentBytes, rowsMax, runsMax }: { residentBytes: number; rowsMax?: number; runsMax: number },
): Runner {
  let isClosed = false;
  let busy = 0;

  async function runInPieces(
    inputs: readonly Tensor[],
    outputs: readonly string[] | undefined,
    size: number,
  ): Promise<Tensor[]> {
    const rows = inputs[0]?.shape[0] as number;
    const pieces: Tensor[][] = [];
    for (let from = 0; from < rows; from += size) {
      // others get their turn
      if (from > 0) await setImmediate();
      const piece = inputs.map((tensor) => sliceRows(tensor, from, Math.min(rows, from + size)));
      pieces.push(await session.run(piece, outputs));
    }
    return (pieces[0] as Tensor[]).map((_, i) => joinRows(pieces.map((piece) => piece[i] as Tensor)));
  }

  return {
    placement: 'inline',
    state: () => (isClosed ? 'closed' : 'ready'),
    capacity: () => (isClosed ? 0 : Math.max(0, runsMax - busy)),
    fault: () => undefined,
    async run(inputs, outputs) {
      busy += 1;
      const startedAt = performance.now();
      try {
        const isLarge = rowsMax !== undefined && (inputs[0]?.shape[0] as number) > rowsMax;
        const result = isLarge
          ? await runInPieces(inputs, outputs, rowsMax)
          : (session.runNow?.(inputs, outputs) ?? (await session.run(inputs, outputs)));
        return { outputs: result, computeMs: performance.now() - startedAt, startedAt };
      } finally {
        busy -= 1;
      }
    },
    onChange: () => undefined,
    residentBytes: () => residentBytes,
    pids: () => [],
    async close() {
      isClosed = true;
      await session.close();
    },
  };
}
