import { readFile } from 'node:fs/promises';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { AppError, isAppError } from '@millrace/contracts';
import { canJoin, joinRows, sliceRows } from '../../engine/join-tensors.ts';
import { PRIORITY_LEVELS } from '../../engine/request-queue.ts';
import type { LoadedModel, ModelStore } from '../../models/model-store.ts';
import type { VersionResolver } from '../../models/version-resolver.ts';
import type { Withdrawals } from '../../server/withdrawals.ts';
import type { Tensor } from '../../tensors/tensor.ts';
import { hasBatchAxis } from '../../tensors/tensor.ts';
import type { RunChunk } from './chunk-order.ts';
import type { Appender, PartWriter } from './part-writer.ts';
import { createAppender, createPartWriter } from './part-writer.ts';
import type { Row } from './read-rows.ts';
import { readRows } from './read-rows.ts';

/** Rows of one run, so that a request that comes meanwhile waits for at most these. */
const RUN_ROWS_MAX = 64;
/** How long rows wait while requests keep the model busy (ms); the chunk is then tried again later. */
const DEADLINE_MS = 60_000;
/** Waits for a queue that is full (ms), and how many. */
const FULL_WAIT_MS = 200;
const FULL_WAITS_MAX = 50;
/** Codes that say something of a row, and nothing of the model or its surroundings. */
const ROW_FAULTS: ReadonlySet<string> = new Set([
  'invalid_json',
  'invalid_type',
  'invalid_shape',
  'not_finite',
  'missing_input',
  'extra_input',
  'batch_input_invalid',
  'inference_failed',
  'output_too_large',
]);

const isRowFault = (error: unknown): error is AppError => isAppError(error) && ROW_FAULTS.has(error.code);

/** A row that was read, with its number. */
type ReadRow = { row: number; inputs: Tensor[] };

/** Runs chunks in this process: behind every request, a few rows at a time, and each row as if it came alone. */
export function createChunkRunner(deps: {
  resolver: VersionResolver;
  store: ModelStore;
  withdrawals: Withdrawals;
}): RunChunk {
  const { resolver, store, withdrawals } = deps;

  async function submit(
    model: LoadedModel,
    rows: readonly ReadRow[],
    names: readonly string[] | null,
  ): Promise<Tensor[]> {
    const { queue, signature } = model.served;
    const inputs = signature.inputs.map((_, i) => joinRows(rows.map((one) => one.inputs[i] as Tensor)));
    for (let waits = 0; ; waits += 1) {
      try {
        const { outputs } = await queue.submit({
          inputs,
          rows: rows.length,
          deadlineMs: DEADLINE_MS,
          priority: PRIORITY_LEVELS,
          ...(names !== null && { outputs: names }),
        });
        return outputs;
      } catch (error) {
        if (!isAppError(error) || error.code !== 'queue_full' || waits >= FULL_WAITS_MAX) throw error;
        await setTimeout(FULL_WAIT_MS);
      }
    }
  }

  return async (order) => {
    const version = await resolver.byId(order.modelVersionId);
    if (version.packageDigest !== order.packageDigest)
      throw new AppError('digest_mismatch', 'The version has other bytes than when the job was made.');
    withdrawals.assertServed(version);
    const model = await store.load(version);
    const { signature, measurement } = model.served;
    const isBatched = hasBatchAxis(signature);
    // rows are joined only as far as they were seen to give the same answers as alone: cuts do not change results
    const rowsMax = isBatched ? Math.max(1, Math.min(RUN_ROWS_MAX, measurement.rowsJoinedMax)) : 1;
    const rows = readRows(await readFile(order.inputPath), order, signature);
    if (rows.count !== order.rows)
      throw new AppError('batch_input_invalid', `A chunk has ${rows.count} rows instead of ${order.rows}.`);

    let skipped = 0;
    const part: PartWriter = await createPartWriter(order, signature);
    const errors: Appender = await createAppender(order.errorsPath);

    async function refuse(row: number, error: AppError): Promise<void> {
      if (order.onRowError === 'fail') throw new AppError(error.code, `Row ${row}: ${error.message}`);
      skipped += 1;
      await errors.write(`${JSON.stringify({ row, code: error.code, message: error.message })}\n`);
    }

    /** Outputs of joined rows; undefined when one of several is at fault and each is to be tried alone. */
    async function run(joined: readonly ReadRow[]): Promise<Tensor[] | undefined> {
      try {
        // loaded again where it had to make room meanwhile
        const held = store.peek(order.modelVersionId) ?? (await store.load(version));
        return await submit(held, joined, order.output.names);
      } catch (error) {
        if (!isRowFault(error)) throw error;
        if (joined.length === 1) await refuse((joined[0] as ReadRow).row, error);
        return undefined;
      }
    }

    async function predict(joined: readonly ReadRow[]): Promise<void> {
      const outputs = await run(joined);
      if (outputs === undefined) {
        if (joined.length > 1) for (const one of joined) await predict([one]);
        return;
      }
      for (const [i, { row }] of joined.entries())
        await part.add(row, isBatched ? outputs.map((output) => sliceRows(output, i, i + 1)) : outputs);
    }

    /** Reads and runs one piece; a bad row is dealt with in its place, so that errors too are in order. */
    async function runPiece(piece: readonly Row[], from: number): Promise<void> {
      let joined: ReadRow[] = [];
      const flush = async (): Promise<void> => {
        const ready = joined;
        joined = [];
        if (ready.length > 0) await predict(ready);
      };
      for (const [i, read] of piece.entries()) {
        const row = order.firstRow + from + i;
        try {
          const inputs = read();
          const [last] = joined;
          if (last !== undefined && !canJoin(last.inputs, inputs)) await flush();
          joined.push({ row, inputs });
        } catch (error) {
          await flush();
          if (!isRowFault(error)) throw error;
          await refuse(row, error);
        }
      }
      await flush();
    }

    try {
      for (let from = 0; from < rows.count; ) {
        const piece = rows.piece(from, rowsMax);
        await runPiece(piece, from);
        from += piece.length;
        await setImmediate();
      }
      const ended = await part.end();
      await errors.flush();
      return { rows: order.rows - skipped, skipped, ...ended };
    } finally {
      await Promise.all([part.close(), errors.close()]);
    }
  };
}
