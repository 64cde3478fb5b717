import type { Prediction, ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';

/** A batch is sent when it has waited this long (ms), or is full. */
const FLUSH_MS = 200;
/** A batch has at most this many predictions, and this many bytes so that it fits one message. */
const BATCH_PREDICTIONS_MAX = 500;
const BATCH_BYTES_MAX = 512 * 1024;
/** Wait before a batch that was not acknowledged is sent again (ms). */
const RETRY_MS = 1_000;
/** Memory of a prediction beside its JSON, for the bound (bytes). */
const OVERHEAD_BYTES = 200;

export type PublisherLimits = { readonly predictionsMax: number; readonly bytesMax: number };

/** Counts that always add up: `recorded = sent + waiting + dropped`. */
export type PublisherStats = {
  recorded: number;
  sent: number;
  waiting: number;
  waitingBytes: number;
  dropped: number;
};

export type PredictionPublisher = {
  /**
   * Takes a prediction for the bus; never waits and never throws. Over the bounds it is dropped and counted, and the
   * count goes with the next batch of its version.
   */
  record(version: ResolvedVersion, describe: () => Prediction): void;
  stats(): PublisherStats;
  /** Sends what waits, for at most `timeoutMs`; returns how many predictions were left. */
  close(timeoutMs: number): Promise<number>;
};

/** Sends one message and resolves with its acknowledgement; the same `messageId` may come again. */
export type PublishBatch = (subject: string, payload: string, messageId: string) => Promise<void>;

/** Predictions of one version that wait, as JSON. */
type Lane = { version: ResolvedVersion; sequence: number; dropped: number; waiting: string[] };
type Batch = { lane: Lane; id: string; payload: string; count: number; bytes: number; dropped: number };

/** Carries predictions to the bus beside the requests, within fixed memory. */
export function createPredictionPublisher(
  publish: PublishBatch,
  limits: PublisherLimits,
  onFault: (error: unknown) => void,
): PredictionPublisher {
  const source = newId();
  const lanes = new Map<string, Lane>();
  const stats = { recorded: 0, sent: 0, dropped: 0, waiting: 0, waitingBytes: 0 };
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
    const id = newId();
    const head = { batchId: id, source, sequence: lane.sequence, modelVersionId, model, version, framework };
    const { dropped } = lane;
    lane.sequence += 1;
    lane.dropped = 0;
    // the predictions are JSON already
    const payload = `${JSON.stringify({ ...head, dropped }).slice(0, -1)},"predictions":[${predictions.join(',')}]}`;
    return { lane, id, payload, count, bytes: bytes + count * OVERHEAD_BYTES, dropped };
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

  async function send(batch: Batch): Promise<void> {
    const subject = `millrace.tel.prediction.${batch.lane.version.modelVersionId}`;
    for (;;) {
      try {
        await publish(subject, batch.payload, batch.id);
        stats.sent += batch.count;
        stats.waiting -= batch.count;
        stats.waitingBytes -= batch.bytes;
        return;
      } catch (error) {
        onFault(error);
        if (isClosed) return;
        await pause(RETRY_MS);
      }
    }
  }

  async function flush(): Promise<void> {
    if (isSending) return;
    isSending = true;
    try {
      for (let batch = formBatch(); batch !== undefined && !isClosed; batch = formBatch()) await send(batch);
    } finally {
      isSending = false;
    }
  }

  function flushLater(): void {
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

  return {
    record(version, describe) {
      const lane = laneOf(version);
      stats.recorded += 1;
      if (stats.waiting >= limits.predictionsMax || stats.waitingBytes >= limits.bytesMax) return drop(lane);
      const text = JSON.stringify(describe());
      stats.waiting += 1;
      stats.waitingBytes += Buffer.byteLength(text) + OVERHEAD_BYTES;
      lane.waiting.push(text);
      flushLater();
    },
    stats: () => ({ ...stats }),
    async close(timeoutMs) {
      isClosing = true;
      const end = Date.now() + timeoutMs;
      while (stats.waiting > 0 && Date.now() < end) {
        wake?.();
        void flush();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      isClosed = true;
      clearTimeout(timer);
      wake?.();
      return stats.waiting;
    },
  };
}
