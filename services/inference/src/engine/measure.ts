import { allocate } from '../tensors/dtype.ts';
import type { ModelSignature, Tensor, TensorSpec } from '../tensors/tensor.ts';
import { elementCount, hasBatchAxis } from '../tensors/tensor.ts';
import type { JoinLimits, Measurement } from './host-protocol.ts';
import { sliceRows } from './join-tensors.ts';
import { pairedSession } from './paired-rows.ts';
import type { RuntimeSession } from './runtime-session.ts';
import { ulpsApart } from './ulps.ts';

/** Rows of the batch that decides whether joining pays. */
const PROBE_ROWS = 8;
const RUNS_MAX = 15;
/** Timing takes about this long at most (ms). */
const BUDGET_MS = 60;
/** Rows joined in the comparisons with single rows; the largest that was the same is the bound for joining. */
const COMPARED_ROWS = [2, 3, 8, 17, 32, 64];
/** Comparisons stop when the next would take longer than this (ms); the first two are always made. */
const COMPARE_BUDGET_MS = 100;
/** Joining must save at least this share of the time of single rows. */
const GAIN_MIN = 0.2;
/** Size given to a free dimension that is not the row dimension. */
const FREE_SIZE = 1;

/** A generator of repeatable numbers in [0, 1). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Inputs of `rows` rows: repeatable values in [0, 1) for floats, zeros for whole numbers (valid as indices). */
export function probeInputs(signature: ModelSignature, rows: number): Tensor[] {
  const next = numbers(42);
  return signature.inputs.map((spec: TensorSpec) => {
    const shape = spec.shape.map((size, axis) => size ?? (axis === 0 ? rows : FREE_SIZE));
    const count = elementCount(shape);
    const { name, dtype } = spec;
    if (dtype === 'string') return { name, dtype, shape, data: new Array<string>(count).fill('') };
    const data = allocate(dtype, count);
    if (data instanceof Float32Array || data instanceof Float64Array) {
      for (let i = 0; i < count; i += 1) data[i] = next();
    }
    return { name, dtype, shape, data };
  });
}

/** The shortest of some runs (ms): on a busy machine the others tell of the machine, not of the model. */
async function shortestMs(run: () => Promise<unknown>): Promise<number> {
  let shortest = Infinity;
  const end = performance.now() + BUDGET_MS / 3;
  for (let i = 0; i < RUNS_MAX && (i === 0 || performance.now() < end); i += 1) {
    const start = performance.now();
    await run();
    shortest = Math.min(shortest, performance.now() - start);
  }
  return shortest;
}

/** `ulps` is how far joined answers were from single ones at most, up to `rowsCompared`. */
type Comparison = { rowsCompared: number; ulps: number; difference?: string };

/** Compares each row of batches with the same row alone, up to the first that is further off than `ulpsMax`. */
async function compareWithSingles(
  session: RuntimeSession,
  rowMs: number,
  ulpsMax: number,
): Promise<Comparison> {
  const largest = COMPARED_ROWS.filter((rows, i) => i < 2 || rows * rowMs < COMPARE_BUDGET_MS / 2).at(
    -1,
  ) as number;
  const all = probeInputs(session.signature, largest);
  const singles: Tensor[][] = [];
  for (let row = 0; row < largest; row += 1)
    singles.push(await session.run(all.map((tensor) => sliceRows(tensor, row, row + 1))));
  let rowsCompared = 1;
  let ulps = 0;
  for (const rows of COMPARED_ROWS.filter((size) => size <= largest)) {
    const together = await session.run(all.map((tensor) => sliceRows(tensor, 0, rows)));
    if (together.some((output) => output.shape[0] !== rows))
      return { rowsCompared, ulps, difference: 'an output has no row for each input row' };
    let most = 0;
    for (let row = 0; row < rows; row += 1) {
      for (const [i, output] of together.entries()) {
        const apart = ulpsApart(sliceRows(output, row, row + 1), singles[row]?.[i] as Tensor);
        most = Math.max(most, apart);
        if (apart <= ulpsMax) continue;
        const by = Number.isFinite(apart) ? ` by ${apart} units in the last place` : '';
        const difference = `output "${output.name}" of a row differs${by} when ${rows} rows are joined`;
        return { rowsCompared, ulps, difference };
      }
    }
    rowsCompared = rows;
    ulps = Math.max(ulps, most);
  }
  return { rowsCompared, ulps };
}

/** Compares rows as they are and, where single ones answer otherwise and pairs cost little, in pairs. */
async function compare(
  session: RuntimeSession,
  rowMs: number,
  { ulpsMax, pairMsMax }: JoinLimits,
): Promise<Comparison & { isPaired: boolean }> {
  const isEnough = (found: Comparison): boolean =>
    found.difference === undefined || found.rowsCompared >= PROBE_ROWS;
  const exact = await compareWithSingles(session, rowMs, 0);
  if (isEnough(exact)) return { ...exact, isPaired: false };
  const pair = probeInputs(session.signature, 2);
  if (pairMsMax > 0 && (await shortestMs(() => session.run(pair))) <= pairMsMax) {
    const paired = await compareWithSingles(pairedSession(session), rowMs, 0);
    if (isEnough(paired)) return { ...paired, isPaired: true };
  }
  return { ...(ulpsMax === 0 ? exact : await compareWithSingles(session, rowMs, ulpsMax)), isPaired: false };
}

/**
 * Warms a model up and decides by measurement whether requests of one turn of the loop are joined: where that pays and
 * joined answers are those of rows alone, to the bit (if need be by running a row alone as a pair) or within `ulpsMax`.
 */
export async function measure(
  session: RuntimeSession,
  residentBytes: () => number,
  { ulpsMax, pairMsMax }: JoinLimits,
): Promise<Measurement> {
  const start = performance.now();
  const single = probeInputs(session.signature, 1);
  await session.run(single);
  const warmUpMs = performance.now() - start;
  const rowMs = await shortestMs(() => session.run(single));
  const found = {
    rowMs,
    batchMs: null as number | null,
    batchRows: PROBE_ROWS,
    isBatched: false,
    isPaired: false,
    rowsJoinedMax: 1,
    warmUpMs,
  };
  const result = (batchReason: string): Measurement => ({
    ...found,
    batchReason,
    residentBytes: residentBytes(),
  });
  if (!hasBatchAxis(session.signature))
    return result('the first dimension of an input or output is not free');
  try {
    const batch = probeInputs(session.signature, PROBE_ROWS);
    found.batchMs = await shortestMs(() => session.run(batch));
    const aloneMs = PROBE_ROWS * rowMs;
    const figure = `${PROBE_ROWS} rows joined take ${found.batchMs.toFixed(3)} ms, ${PROBE_ROWS} alone ${aloneMs.toFixed(3)} ms`;
    const limits = { ulpsMax, pairMsMax };
    const { rowsCompared, ulps, difference, isPaired } = await compare(session, rowMs, limits);
    found.rowsJoinedMax = rowsCompared;
    found.isPaired = isPaired;
    if (rowsCompared < 2 || (difference !== undefined && rowsCompared < PROBE_ROWS)) {
      found.rowsJoinedMax = 1;
      return result(difference ?? 'joined rows could not be compared');
    }
    if (1 - found.batchMs / aloneMs < GAIN_MIN) return result(`joining does not pay: ${figure}`);
    found.isBatched = true;
    const how = ulps === 0 ? 'the same to the bit' : `at most ${ulps} units in the last place off`;
    const alone = isPaired ? ', a row alone being run as two,' : '';
    return result(`answers are ${how} up to ${rowsCompared} rows${alone} and ${figure}`);
  } catch (error) {
    return result(`a batch failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
