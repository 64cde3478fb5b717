import type { Bus } from '@millrace/bus';
import type { Prediction, PredictionBatch } from '@millrace/contracts';
import { newId } from '@millrace/contracts';

const FEATURES = 16;
/** Messages that wait for their acknowledgement at once. */
const IN_FLIGHT_MAX = 32;

/** A sender of predictions of some versions, as a front of inference is one. */
export type Sender = {
  /** Publishes batches of so many predictions, and resolves once the stream has them all. */
  send(batches: number, size: number): Promise<void>;
  readonly sent: () => number;
};

function prediction(): Prediction {
  const score = Math.fround(Math.random());
  return {
    inferenceId: newId(),
    time: new Date().toISOString(),
    latencyMs: Math.round(Math.random() * 20_000) / 1000,
    confidence: Math.max(score, 1 - score),
    userId: `user-${Math.floor(Math.random() * 10_000)}`,
    inputs: [
      {
        name: 'input',
        dtype: 'float32',
        shape: [1, FEATURES],
        sha256: 'a'.repeat(64),
        values: Array.from({ length: FEATURES }, () => Math.round(Math.random() * 1000) / 1000),
      },
    ],
    outputs: [
      {
        name: 'output',
        dtype: 'float32',
        shape: [1, 2],
        sha256: 'b'.repeat(64),
        values: [score, 1 - score],
      },
    ],
  };
}

/** Sends predictions of `versions` versions in turn. */
export function createSender(bus: Bus, versions: number): Sender {
  const source = newId();
  const lanes = Array.from({ length: versions }, (_, index) => ({
    modelVersionId: newId(),
    version: `v${index + 1}`,
    sequence: 0,
  }));
  let sent = 0;
  let turn = 0;

  async function publish(size: number): Promise<void> {
    const lane = lanes[turn % versions] as (typeof lanes)[number];
    turn += 1;
    const { sequence, ...version } = lane;
    lane.sequence += 1;
    const data: PredictionBatch = {
      batchId: newId(),
      source,
      sequence,
      ...version,
      model: 'bench',
      framework: 'onnx',
      dropped: 0,
      predictions: Array.from({ length: size }, prediction),
    };
    const subject = `millrace.tel.prediction.${version.modelVersionId}`;
    await bus.js.publish(subject, JSON.stringify(data), { msgID: data.batchId });
    sent += size;
  }

  return {
    sent: () => sent,
    async send(batches, size) {
      const inFlight = new Set<Promise<void>>();
      for (let index = 0; index < batches; index += 1) {
        const one = publish(size).finally(() => inFlight.delete(one));
        inFlight.add(one);
        if (inFlight.size >= IN_FLIGHT_MAX) await Promise.race(inFlight);
      }
      await Promise.all(inFlight);
    },
  };
}
