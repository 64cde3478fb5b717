import type { Runner } from './runner.ts';
import type { RuntimeSession } from './runtime-session.ts';

/** Runs a fast model in this process; `residentBytes` was measured when it was probed in a host. */
export function createInlineRunner(session: RuntimeSession, residentBytes: number): Runner {
  let isClosed = false;
  let busy = 0;
  return {
    placement: 'inline',
    state: () => (isClosed ? 'closed' : 'ready'),
    capacity: () => (isClosed || busy > 0 ? 0 : 1),
    fault: () => undefined,
    async run(inputs, outputs) {
      busy += 1;
      const start = performance.now();
      try {
        return { outputs: await session.run(inputs, outputs), computeMs: performance.now() - start };
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
