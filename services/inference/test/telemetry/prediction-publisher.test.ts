import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import type { Prediction, PredictionBatch, ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import { createLogger } from '@millrace/service-kit';
import { eventually } from '@millrace/testing';
import type { PublishBatch } from '../../src/telemetry/prediction-publisher.ts';
import { createPredictionPublisher } from '../../src/telemetry/prediction-publisher.ts';
import { createSpillFolder } from '../../src/telemetry/spill-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'publisher-test-'));
const logger = createLogger({ service: 'test', level: 'silent' });
const spillFolder = () => createSpillFolder(join(root, newId()), logger);

afterAll(() => rmSync(root, { recursive: true }));

const versionOf = (model: string) =>
  ({ modelVersionId: newId(), model, version: 'v1', framework: 'onnx' }) as ResolvedVersion;
const predictionOf = (inferenceId: string) =>
  ({
    inferenceId,
    time: new Date().toISOString(),
    latencyMs: 1,
    confidence: null,
    inputs: [],
    outputs: [],
  }) as Prediction;

/** A bus that keeps what it acknowledged and can be away. */
function createBusStandIn() {
  const stored: { id: string; batch: PredictionBatch }[] = [];
  const attempts: string[] = [];
  const state = { isAway: false, losesAcks: false };
  const publish: PublishBatch = async (_subject, payload, id) => {
    attempts.push(id);
    if (state.isAway) throw new Error('away');
    stored.push({ id, batch: JSON.parse(payload) as PredictionBatch });
    if (state.losesAcks) throw new Error('no acknowledgement');
  };
  return { stored, attempts, state, publish };
}

test('counts add up over an outage that is longer than the buffer', async () => {
  const bus = createBusStandIn();
  bus.state.isAway = true;
  const publisher = createPredictionPublisher(
    bus.publish,
    { predictionsMax: 1_000, bytesMax: 10_000_000, perSecondMax: 100_000, inputsPerSecondMax: 100_000 },
    () => undefined,
    spillFolder(),
  );
  const versions = [versionOf('a'), versionOf('b')];
  for (let i = 0; i < 3_000; i += 1)
    publisher.record(versions[i % 2] as ResolvedVersion, () => predictionOf(newId()));
  expect(publisher.stats()).toMatchObject({ recorded: 3_000, waiting: 1_000, dropped: 2_000, sent: 0 });
  bus.state.isAway = false;
  await eventually(async () =>
    expect(publisher.stats()).toMatchObject({ sent: 1_000, waiting: 0, waitingBytes: 0 }),
  );
  expect(await publisher.close(1_000)).toBe(0);
  const told = bus.stored.reduce((sum, { batch }) => sum + batch.predictions.length + batch.dropped, 0);
  expect(told).toBe(3_000);
  for (const version of versions) {
    const own = bus.stored.filter(({ batch }) => batch.modelVersionId === version.modelVersionId);
    expect(own.map(({ batch }) => batch.sequence)).toEqual(own.map((_, i) => i));
  }
});

test('a batch whose acknowledgement is lost comes again under the same id', async () => {
  const bus = createBusStandIn();
  bus.state.losesAcks = true;
  const publisher = createPredictionPublisher(
    bus.publish,
    { predictionsMax: 10, bytesMax: 10_000, perSecondMax: 100_000, inputsPerSecondMax: 100_000 },
    () => undefined,
    spillFolder(),
  );
  publisher.record(versionOf('a'), () => predictionOf(newId()));
  await eventually(async () => expect(bus.attempts.length).toBeGreaterThan(1));
  bus.state.losesAcks = false;
  expect(await publisher.close(3_000)).toBe(0);
  expect(new Set(bus.attempts).size).toBe(1);
});

test('bytes bound the buffer too, and closing keeps what is left', async () => {
  const bus = createBusStandIn();
  bus.state.isAway = true;
  const publisher = createPredictionPublisher(
    bus.publish,
    { predictionsMax: 1_000_000, bytesMax: 100_000, perSecondMax: 100_000, inputsPerSecondMax: 100_000 },
    () => undefined,
    spillFolder(),
  );
  const version = versionOf('a');
  for (let i = 0; i < 10_000; i += 1) publisher.record(version, () => predictionOf(newId()));
  const { waiting, waitingBytes, dropped } = publisher.stats();
  expect(waitingBytes).toBeLessThan(101_000);
  expect(waiting + dropped).toBe(10_000);
  expect(await publisher.close(50)).toBe(0);
  expect(
    readdirSync(root, { recursive: true }).filter((name) => String(name).endsWith('.batches')),
  ).toHaveLength(1);
});

test('over the rate predictions are dropped undescribed and told of', async () => {
  const bus = createBusStandIn();
  const publisher = createPredictionPublisher(
    bus.publish,
    { predictionsMax: 10_000, bytesMax: 10_000_000, perSecondMax: 50, inputsPerSecondMax: 10 },
    () => undefined,
    spillFolder(),
  );
  const version = versionOf('busy');
  let described = 0;
  let withInputs = 0;
  for (let i = 0; i < 5_000; i += 1) {
    publisher.record(version, (hasInputs) => {
      described += 1;
      if (hasInputs) withInputs += 1;
      return predictionOf(newId());
    });
  }
  const { recorded, waiting, sent, dropped } = publisher.stats();
  expect(recorded).toBe(5_000);
  expect(waiting + sent).toBe(described);
  expect(described + dropped).toBe(5_000);
  expect(described).toBeGreaterThanOrEqual(50);
  expect(withInputs).toBeGreaterThanOrEqual(10);
  expect(withInputs).toBeLessThan(described);
  expect(dropped).toBeGreaterThan(4_000);
  expect(await publisher.close(1_000)).toBe(0);
  const told = bus.stored.reduce((sum, { batch }) => sum + batch.predictions.length + batch.dropped, 0);
  expect(told).toBe(5_000);
});

test('a prediction too large for a message keeps the digests of its tensors and loses their values', async () => {
  const bus = createBusStandIn();
  const publisher = createPredictionPublisher(
    bus.publish,
    { predictionsMax: 10, bytesMax: 10_000_000, perSecondMax: 100_000, inputsPerSecondMax: 100_000 },
    () => undefined,
    spillFolder(),
  );
  const values = Array.from({ length: 1_000 }, (_, i) => i / 7);
  const tensor = (name: string) => ({
    name,
    dtype: 'float32',
    shape: [1, 1_000],
    sha256: 'a'.repeat(64),
    values,
  });
  const inputs = Array.from({ length: 100 }, (_, i) => tensor(`input_${i}`));
  const version = versionOf('wide');
  publisher.record(version, () => ({ ...predictionOf(newId()), inputs }));
  // a name cannot be left out, so this one cannot travel at all
  const named = { ...tensor('n'.repeat(600_000)), values: [] };
  publisher.record(version, () => ({ ...predictionOf(newId()), inputs: [named] }));
  expect(await publisher.close(3_000)).toBe(0);
  const predictions = bus.stored.flatMap(({ batch }) => batch.predictions);
  expect(predictions).toHaveLength(1);
  expect(predictions[0]?.inputs).toHaveLength(100);
  expect(predictions[0]?.inputs[7]).toEqual({
    name: 'input_7',
    dtype: 'float32',
    shape: [1, 1_000],
    sha256: 'a'.repeat(64),
  });
  expect(bus.stored.reduce((sum, { batch }) => sum + batch.dropped, 0)).toBe(1);
});
