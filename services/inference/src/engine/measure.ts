import { allocate } from '../tensors/dtype.ts';
import type { ModelSignature, Tensor, TensorSpec } from '../tensors/tensor.ts';
import { elementCount, hasBatchAxis, rawBytes } from '../tensors/tensor.ts';
import type { Measurement } from './host-protocol.ts';
import type { RuntimeSession } from './runtime-session.ts';

/** Rows of the batch that decides whether joining pays. */
const PROBE_ROWS = 8;
const RUNS_MAX = 15;
/** A measurement takes about this long at most (ms). */
const BUDGET_MS = 250;
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

function rowOf(tensor: Tensor, row: number, rows: number): Tensor {
  const width = elementCount(tensor.shape) / rows;
  const shape = [1, ...tensor.shape.slice(1)];
  const data = tensor.data.slice(row * width, (row + 1) * width);
  return { ...tensor, shape, data } as Tensor;
}

function isSame(a: Tensor, b: Tensor): boolean {
  if (a.dtype === 'string' || b.dtype === 'string') return JSON.stringify(a.data) === JSON.stringify(b.data);
  return Buffer.compare(rawBytes(a.data), rawBytes(b.data)) === 0;
}

async function medianMs(run: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  const end = performance.now() + BUDGET_MS / 3;
  while (times.length < RUNS_MAX && (times.length === 0 || performance.now() < end)) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1] as number;
}

/** Compares each row of a batch with the same row alone, bit by bit; gives the reason when they differ. */
async function differenceInBatch(session: RuntimeSession): Promise<string | undefined> {
  const batch = probeInputs(session.signature, PROBE_ROWS);
  const together = await session.run(batch);
  if (together.some((output) => output.shape[0] !== PROBE_ROWS))
    return 'an output has no row for each input row';
  for (let row = 0; row < PROBE_ROWS; row += 1) {
    const alone = await session.run(batch.map((tensor) => rowOf(tensor, row, PROBE_ROWS)));
    const different = alone.findIndex((output, i) => {
      return !isSame(output, rowOf(together[i] as Tensor, row, PROBE_ROWS));
    });
    if (different >= 0) return `output "${alone[different]?.name}" of a row differs when rows are joined`;
  }
  return undefined;
}

/** Warms a model up and decides by measurement whether requests of one turn of the loop are joined. */
export async function measure(session: RuntimeSession, residentBytes: () => number): Promise<Measurement> {
  const start = performance.now();
  const single = probeInputs(session.signature, 1);
  await session.run(single);
  const warmUpMs = performance.now() - start;
  const rowMs = await medianMs(() => session.run(single));
  const unbatched = (batchReason: string, batchMs: number | null = null): Measurement => {
    return {
      rowMs,
      batchMs,
      batchRows: PROBE_ROWS,
      isBatched: false,
      batchReason,
      warmUpMs,
      residentBytes: residentBytes(),
    };
  };
  if (!hasBatchAxis(session.signature))
    return unbatched('the first dimension of an input or output is not free');
  try {
    const batch = probeInputs(session.signature, PROBE_ROWS);
    const batchMs = await medianMs(() => session.run(batch));
    const saved = 1 - batchMs / (PROBE_ROWS * rowMs);
    const figure = `${PROBE_ROWS} rows joined take ${batchMs.toFixed(3)} ms, ${PROBE_ROWS} alone ${(PROBE_ROWS * rowMs).toFixed(3)} ms`;
    if (saved < GAIN_MIN) return unbatched(`joining does not pay: ${figure}`, batchMs);
    const difference = await differenceInBatch(session);
    if (difference !== undefined) return unbatched(difference, batchMs);
    return { ...unbatched(`answers are the same to the bit and ${figure}`, batchMs), isBatched: true };
  } catch (error) {
    return unbatched(`a batch failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
