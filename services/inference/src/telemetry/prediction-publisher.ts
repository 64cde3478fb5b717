import type { Prediction, ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import { tenantOf } from '../models/served-name.ts';
import type { SpillFile, SpillFolder } from './spill-folder.ts';
import { createTokenBucket } from './token-bucket.ts';

/** A batch is sent when it has waited this long (ms), or is full. */
const FLUSH_MS = 200;
/** A batch has at most this many predictions, and this many bytes so that it fits one message. */
const BATCH_PREDICTIONS_MAX = 500;
const BATCH_BYTES_MAX = 512 * 1024;
/** Wait before a batch that was not acknowledged is sent again (ms). */
const RETRY_MS = 1_000;
/** Memory of a prediction beside its JSON, for the bound (bytes). */
const OVERHEAD_BYTES = 200;
const CLOSE_POLL_MS = 20;
/** How often the spill folder is looked into for what another process left there (ms). */
const SPILL_LOOK_MS = 60_000;

export type PublisherLimits = {
  readonly predictionsMax: number;
  readonly bytesMax: number;
  /** Predictions a second; more are dropped without the work of describing them. */
  readonly perSecondMax: number;
  /** Predictions a second whose input values go along; the inputs of the others are named by digest and shape. */
  readonly inputsPerSecondMax: number;
};

/** Counts that always add up: `recorded = sent + waiting + dropped`. */
export type PublisherStats = {
  recorded: number;
  sent: number;
  waiting: number;
  waitingBytes: number;
  dropped: number;
  /** Of processes that ended before: sent out of the spill folder. */
  recovered: number;
  /** Files of the spill folder that were not what was written. */
  faultyFiles: number;
};

export type PredictionPublisher = {
  /**
   * Takes a prediction for the bus; never waits and never throws. Over the bounds it is dropped and counted, and the
   * count goes with the next batch of its version.
   */
  record(version: ResolvedVersion, describe: (withInputs: boolean) => Prediction): void;
  stats(): PublisherStats;
  /**
   * Sends what waits, for at most `timeoutMs`, and keeps the rest in the spill folder for the next start; returns how
   * many predictions were lost because that took no more.
   */
  close(timeoutMs: number): Promise<number>;
};

/** Sends one message and resolves with its acknowledgement; the same `messageId` may come again. */
export type PublishBatch = (subject: string, payload: string, messageId: string) => Promise<void>;

/** Predictions of one version that wait, as JSON. */
type Lane = { version: ResolvedVersion; sequence: number; dropped: number; waiting: string[] };
type Batch = { id: string; modelVersionId: string; payload: string; count: number; bytes: number };

/**
 * JSON of a prediction that fits into a message: without values, its tensors keep shape and digest. Undefined when even
 * that does not.
 */
function toJson(prediction: Prediction): string | undefined {
  const whole = JSON.stringify(prediction);
  if (Buffer.byteLength(whole) <= BATCH_BYTES_MAX) return whole;
  const bare = (tensors: Prediction['inputs']) => tensors.map(({ values: _, ...summary }) => summary);
  const { inputs, outputs } = prediction;
  const short = JSON.stringify({ ...prediction, inputs: bare(inputs), outputs: bare(outputs) });
  return Buffer.byteLength(short) <= BATCH_BYTES_MAX ? short : undefined;
}

/** Carries predictions to the bus beside the requests, within fixed memory; what `spill` holds goes first. */
export function createPredictionPublisher(
  publish: PublishBatch,
  limits: PublisherLimits,
  onFault: (error: unknown) => void,
  spill: SpillFolder,
): PredictionPublisher {
  const source = newId();
  const lanes = new Map<string, Lane>();
  const stats = { recorded: 0, sent: 0, dropped: 0, waiting: 0, waitingBytes: 0, recovered: 0 };
  /** The batch of this process that was not acknowledged yet, and the file whose batches are being sent. */
  let inHand: Batch | undefined;
  let spilled: SpillFile | undefined;
  let taking: Promise<SpillFile | undefined> | undefined;
  let lookAt = 0;
  const rate = createTokenBucket(limits.perSecondMax);
  const inputRate = createTokenBucket(limits.inputsPerSecondMax);
  let timer: NodeJS.Timeout | undefined;
  let isSending = false;
  let isClosing = false;
  let isClosed = false;
  let wake: (() => void) | undefined;

  function laneOf(version: ResolvedVersion): Lane {
    const held = lanes.get(version.modelVersionId);
    if (held !== undefined) return held;
    const lane = { version, sequence: 0, dropped: 0, waiting: [] };
    lanes.set(version.modelVersionId, lane);
    return lane;
  }

  function formBatch(): Batch | undefined {
    const lane = [...lanes.values()].find(({ waiting, dropped }) => waiting.length > 0 || dropped > 0);
    if (lane === undefined) return undefined;
    // the next batch begins with another version, so that a busy one does not keep the rest waiting
    lanes.delete(lane.version.modelVersionId);
    lanes.set(lane.version.modelVersionId, lane);
    let bytes = 0;
    let count = 0;
    while (count < lane.waiting.length && count < BATCH_PREDICTIONS_MAX) {
      const size = Buffer.byteLength(lane.waiting[count] as string);
      if (count > 0 && bytes + size > BATCH_BYTES_MAX) break;
      bytes += size;
      count += 1;
    }
    const predictions = lane.waiting.splice(0, count);
    const { modelVersionId, model, version, framework } = lane.version;
    const tenant = tenantOf(lane.version);
    const id = newId();
    const head = {
      batchId: id,
      source,
      sequence: lane.sequence,
      modelVersionId,
      tenant,
      model,
      version,
      framework,
    };
    const { dropped } = lane;
    lane.sequence += 1;
    lane.dropped = 0;
    // the predictions are JSON already
    const payload = `${JSON.stringify({ ...head, dropped }).slice(0, -1)},"predictions":[${predictions.join(',')}]}`;
    return { id, modelVersionId, payload, count, bytes: bytes + count * OVERHEAD_BYTES };
  }

  async function pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const delay = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(delay);
        resolve();
      };
    });
    wake = undefined;
  }

  /** True once the batch is acknowledged, false when the publisher was closed before. */
  async function deliver(batch: Pick<Batch, 'id' | 'modelVersionId' | 'payload'>): Promise<boolean> {
    while (!isClosed) {
      try {
        await publish(`millrace.tel.prediction.${batch.modelVersionId}`, batch.payload, batch.id);
        return !isClosed;
      } catch (error) {
        onFault(error);
        if (isClosed) return false;
        await spilled?.renew();
        await pause(RETRY_MS);
      }
    }
    return false;
  }

  async function sendSpilled(): Promise<void> {
    if (Date.now() < lookAt) return;
    const next = async (): Promise<SpillFile | undefined> => {
      taking = spill.take();
      spilled = await taking;
      return spilled;
    };
    for (let file = await next(); file !== undefined; file = await next()) {
      for (const batch of file.batches) {
        if (!(await deliver(batch))) return;
        stats.recovered += batch.count;
      }
      await file.done();
    }
    lookAt = Date.now() + SPILL_LOOK_MS;
  }

  async function flush(): Promise<void> {
    if (isSending) return;
    isSending = true;
    try {
      await sendSpilled();
      while (!isClosed) {
        const batch = formBatch();
        inHand = batch;
        if (batch === undefined || !(await deliver(batch))) return;
        inHand = undefined;
        stats.sent += batch.count;
        stats.waiting -= batch.count;
        stats.waitingBytes -= batch.bytes;
      }
    } finally {
      isSending = false;
    }
  }

  function flushLater(): void {
    if (isClosed) return;
    timer ??= setTimeout(
      () => {
        timer = undefined;
        void flush();
      },
      isClosing ? 0 : FLUSH_MS,
    );
  }

  function drop(lane: Lane): void {
    stats.dropped += 1;
    lane.dropped += 1;
    flushLater();
  }

  const hasUnsent = (): boolean =>
    inHand !== undefined ||
    [...lanes.values()].some(({ waiting, dropped }) => waiting.length > 0 || dropped > 0);

  /** Gives up the newest predictions that wait until the rest takes at most `bytesMax`; batches tell of them. */
  function shrinkTo(bytesMax: number): number {
    let lost = 0;
    for (const lane of lanes.values()) {
      while (lane.waiting.length > 0 && stats.waitingBytes > bytesMax) {
        stats.waiting -= 1;
        stats.waitingBytes -= Buffer.byteLength(lane.waiting.pop() as string) + OVERHEAD_BYTES;
        stats.dropped += 1;
        lane.dropped += 1;
        lost += 1;
      }
    }
    return lost;
  }

  /** Puts what was not sent into the spill folder; returns how many predictions that did not take. */
  async function keepUnsent(): Promise<number> {
    if (!hasUnsent()) return 0;
    let lost = 0;
    try {
      // half of the room, since each batch has a head of its own
      const bytesMax = (await spill.room()) / 2;
      if (inHand !== undefined && inHand.bytes > bytesMax) {
        // it may have been stored, so it is not told of as dropped: if it was not, its number is missing
        lost += inHand.count;
        stats.waiting -= inHand.count;
        stats.waitingBytes -= inHand.bytes;
        inHand = undefined;
      }
      lost += shrinkTo(bytesMax);
      const payloads = inHand === undefined ? [] : [inHand.payload];
      for (let batch = formBatch(); batch !== undefined; batch = formBatch()) payloads.push(batch.payload);
      await spill.keep(payloads);
      return lost;
    } catch (error) {
      onFault(error);
      return lost + stats.waiting;
    }
  }

  const looking = setInterval(() => void flush(), SPILL_LOOK_MS).unref();
  flushLater();

  return {
    record(version, describe) {
      const lane = laneOf(version);
      stats.recorded += 1;
      const isFull = stats.waiting >= limits.predictionsMax || stats.waitingBytes >= limits.bytesMax;
      if (isFull || !rate.take()) return drop(lane);
      const text = toJson(describe(inputRate.take()));
      if (text === undefined) return drop(lane);
      stats.waiting += 1;
      stats.waitingBytes += Buffer.byteLength(text) + OVERHEAD_BYTES;
      lane.waiting.push(text);
      flushLater();
    },
    stats: () => ({ ...stats, faultyFiles: spill.faultyFiles() }),
    async close(timeoutMs) {
      isClosing = true;
      const end = Date.now() + timeoutMs;
      wake?.();
      while (hasUnsent() && Date.now() < end) {
        void flush();
        await new Promise((resolve) => setTimeout(resolve, CLOSE_POLL_MS));
      }
      isClosed = true;
      clearTimeout(timer);
      clearInterval(looking);
      wake?.();
      await (await taking)?.giveBack();
      return keepUnsent();
    },
  };
}
