import type { Tensor } from '../tensors/tensor.ts';
import { joinRows, sliceRows } from './join-tensors.ts';
import type { Runner } from './runner.ts';
import type { RuntimeSession } from './runtime-session.ts';

/**
 * A runtime has a way of its own for a single row (onnxruntime multiplies a vector in another order than a matrix), so
 * that its answer may differ in the last bits from that to the same row among others. Where two rows and more all answer
 * alike, a row alone is therefore run twice over in one run: then each row has the same answer, to the bit, whatever
 * else is in its run.
 */
const isAlone = (inputs: readonly Tensor[]): boolean => inputs[0]?.shape[0] === 1;

/** A single row, twice. */
const pair = (inputs: readonly Tensor[]): Tensor[] => inputs.map((tensor) => joinRows([tensor, tensor]));

/** The first row of each output of a pair. */
const first = (outputs: readonly Tensor[]): Tensor[] => outputs.map((tensor) => sliceRows(tensor, 0, 1));

/** A session that never runs a single row. */
export function pairedSession(session: RuntimeSession): RuntimeSession {
  const { runNow } = session;
  return {
    ...session,
    run: async (inputs, outputs) =>
      isAlone(inputs) ? first(await session.run(pair(inputs), outputs)) : session.run(inputs, outputs),
    ...(runNow !== undefined && {
      runNow: (inputs: readonly Tensor[], outputs?: readonly string[]) =>
        isAlone(inputs) ? first(runNow(pair(inputs), outputs)) : runNow(inputs, outputs),
    }),
  };
}

/** A runner that never runs a single row. Digests of inputs are not passed on, since they would be of pairs. */
export function pairedRunner(runner: Runner): Runner {
  return {
    ...runner,
    async run(inputs, outputs, requests) {
      if (!isAlone(inputs)) return runner.run(inputs, outputs, requests);
      const { inputDigests: _, ...ran } = await runner.run(pair(inputs), outputs, requests);
      return { ...ran, outputs: first(ran.outputs) };
    },
  };
}
