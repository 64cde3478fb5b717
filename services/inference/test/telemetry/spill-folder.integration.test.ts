import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Bus } from '@millrace/bus';
import { connectBus, ensureStreams, streamCatalog } from '@millrace/bus';
import type { Prediction, PredictionBatch, ResolvedVersion } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import { createLogger } from '@millrace/service-kit';
import type { PrivateNats } from '@millrace/testing';
import { eventually, startNats } from '@millrace/testing';
import { createJetStreamPublish } from '../../src/telemetry/jetstream-publish.ts';
import { createPredictionPublisher } from '../../src/telemetry/prediction-publisher.ts';
import { createSpillFolder } from '../../src/telemetry/spill-folder.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const LIMITS = {
  predictionsMax: 60_000,
  bytesMax: 64 * 1024 * 1024,
  perSecondMax: 100_000,
  inputsPerSecondMax: 100_000,
};
const root = mkdtempSync(join(tmpdir(), 'spill-test-'));
let nats: PrivateNats;
let bus: Bus;
let folder: string;
let version: ResolvedVersion;

const connect = () =>
  connectBus({ url: nats.servicesUrl, name: 'test', inboxPrefix: '_INBOX_services', logger });

/** Waits for the connection too: what is published before it stands only ends by its timeout. */
async function startNatsAgain(): Promise<void> {
  await nats.start();
  await eventually(() => bus.ping());
}

beforeAll(async () => {
  nats = await startNats();
  bus = await connect();
  await ensureStreams(bus);
});

afterAll(async () => {
  await bus.close();
  await nats.stop();
  rmSync(root, { recursive: true });
});

beforeEach(() => {
  folder = join(root, newId());
  version = { modelVersionId: newId(), model: 'm', version: 'v1', framework: 'onnx' } as ResolvedVersion;
});

const predictionOf = (inferenceId: string): Prediction => ({
  inferenceId,
  time: new Date().toISOString(),
  latencyMs: 1,
  confidence: null,
  inputs: [],
  outputs: [],
});

/** A publisher as a process has one, on the real bus. */
const startPublisher = (over: Bus = bus) =>
  createPredictionPublisher(
    createJetStreamPublish(over),
    LIMITS,
    () => undefined,
    createSpillFolder(folder, logger),
  );

function record(publisher: ReturnType<typeof startPublisher>, count: number): string[] {
  const ids = Array.from({ length: count }, () => newId());
  for (const id of ids) publisher.record(version, () => predictionOf(id));
  return ids;
}

/** Batches of this test's version as JetStream stored them. */
async function stored(): Promise<PredictionBatch[]> {
  const batches: PredictionBatch[] = [];
  const { state } = await bus.jsm.streams.info(streamCatalog.telemetry.name);
  for (let sequence = state.first_seq; sequence <= state.last_seq; sequence += 1) {
    const message = await bus.jsm.streams.getMessage(streamCatalog.telemetry.name, { seq: sequence });
    const batch = message?.json<PredictionBatch>();
    if (batch?.modelVersionId === version.modelVersionId) batches.push(batch);
  }
  return batches;
}

const idsOf = (batches: PredictionBatch[]): string[] =>
  batches.flatMap(({ predictions }) => predictions.map(({ inferenceId }) => inferenceId));
const files = (): string[] => readdirSync(folder).sort();

/** Predictions of a process that ended while NATS was away. */
async function spill(count: number): Promise<string[]> {
  await nats.killHard();
  const own = startPublisher();
  const ids = record(own, count);
  expect(await own.close(300)).toBe(0);
  await startNatsAgain();
  return ids;
}

describe('a process that ends while NATS is away', () => {
  test('leaves its predictions on disk, and the next one sends each of them once', async () => {
    // the first batch reaches a server that stands still: nobody knows whether it was stored
    await nats.pause();
    const first = startPublisher();
    const ids = record(first, 1_200);
    await eventually(() => first.stats().waiting === 1_200 && first.stats().sent === 0);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await first.close(200)).toBe(0);
    const [file = ''] = files();
    expect(files()).toEqual([expect.stringMatching(/^\d+-[0-9a-f-]{36}\.batches$/)]);
    expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    nats.resume();

    const second = startPublisher();
    const later = record(second, 10);
    await eventually(() => second.stats().recovered === 1_200 && second.stats().sent === 10);
    const batches = await stored();
    expect(idsOf(batches).sort()).toEqual([...ids, ...later].sort());
    expect(new Set(batches.map(({ batchId }) => batchId)).size).toBe(batches.length);
    // those of the process before went first
    expect(batches.at(-1)?.predictions).toHaveLength(10);
    expect(files()).toEqual([]);
    expect(await second.close(1_000)).toBe(0);
  });

  test('a process that ends before it has sent them leaves them to the one after', async () => {
    const ids = await spill(700);
    await nats.killHard();
    const between = startPublisher();
    await eventually(() => files()[0]?.endsWith('.claimed') === true);
    expect(await between.close(50)).toBe(0);
    expect(files()).toEqual([expect.stringMatching(/\.batches$/)]);
    await startNatsAgain();
    const last = startPublisher();
    await eventually(() => last.stats().recovered === 700);
    expect(idsOf(await stored()).sort()).toEqual(ids.sort());
    await last.close(1_000);
  });

  test('of several processes that start, one sends them', async () => {
    const ids = await spill(300);
    const all = [startPublisher(), startPublisher(), startPublisher()];
    await eventually(() => files().length === 0);
    await eventually(() => all.reduce((sum, one) => sum + one.stats().recovered, 0) === 300);
    expect(all.filter((one) => one.stats().recovered > 0)).toHaveLength(1);
    expect(idsOf(await stored()).sort()).toEqual(ids.sort());
    await Promise.all(all.map((one) => one.close(1_000)));
  });

  test('the claim of a process that was killed passes on once it is a minute old', async () => {
    const ids = await spill(20);
    const killed = createSpillFolder(folder, logger);
    expect((await killed.take())?.batches).toHaveLength(1);
    const next = createSpillFolder(folder, logger);
    expect(await next.take()).toBeUndefined();
    const [claimed = ''] = files();
    const past = new Date(Date.now() - 61_000);
    utimesSync(join(folder, claimed), past, past);
    const taken = await next.take();
    expect(taken?.batches[0]?.count).toBe(ids.length);
    // renewed by the one that took it, so nobody else does
    expect(await killed.take()).toBeUndefined();
    await taken?.done();
    expect(files()).toEqual([]);
  });
});

describe('a faulty file', () => {
  test.each([
    ['cut short', (file: string) => truncateSync(file, statSync(file).size - 10)],
    ['empty', (file: string) => truncateSync(file, 0)],
    [
      'of one changed letter',
      (file: string) => writeFileSync(file, readFileSync(file, 'utf8').replace('"m"', '"n"')),
    ],
    ['of other content', (file: string) => writeFileSync(file, 'not\na\nspill\n')],
    ['over the bound', (file: string) => truncateSync(file, 256 * 1024 * 1024 + 1)],
  ])('%s is set aside and counted, and the next one is sent', async (_what, damage) => {
    await spill(5);
    const ids = await spill(7);
    damage(join(folder, files()[0] ?? ''));
    const publisher = startPublisher();
    await eventually(() => publisher.stats().recovered === 7);
    expect(publisher.stats()).toMatchObject({ recorded: 0, faultyFiles: 1 });
    expect(idsOf(await stored()).sort()).toEqual(ids.sort());
    expect(files()).toEqual([expect.stringMatching(/\.faulty$/)]);
    await publisher.close(1_000);
  });

  test('only the newest four stay', async () => {
    mkdirSync(folder);
    for (let i = 1; i <= 6; i += 1) writeFileSync(join(folder, `${i}-${newId()}.batches`), 'x');
    const spilled = createSpillFolder(folder, logger);
    expect(await spilled.take()).toBeUndefined();
    expect(spilled.faultyFiles()).toBe(6);
    expect(files().map((name) => name[0])).toEqual(['3', '4', '5', '6']);
  });
});

describe('a folder without room', () => {
  /** Another process's file that leaves `roomBytes`: a file of holes, so that only its size counts. */
  function fill(roomBytes: number): string {
    mkdirSync(folder);
    const other = join(folder, `1-${newId()}.x.claimed`);
    writeFileSync(other, '');
    truncateSync(other, 256 * 1024 * 1024 - roomBytes);
    return other;
  }

  test('loses the newest predictions, says how many and tells monitoring', async () => {
    const other = fill(500_000);
    await nats.killHard();
    const publisher = startPublisher();
    const ids = record(publisher, 1_000);
    const lost = await publisher.close(100);
    expect(lost).toBeGreaterThan(100);
    expect(lost).toBeLessThan(500);
    await startNatsAgain();
    rmSync(other);
    const next = startPublisher();
    await eventually(() => next.stats().recovered === 1_000 - lost);
    const batches = await stored();
    expect(idsOf(batches).sort()).toEqual(ids.slice(0, 1_000 - lost).sort());
    expect(batches.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(lost);
    await next.close(1_000);
  });

  test('does not say of a batch under way that it was dropped, for it may have arrived', async () => {
    const other = fill(60_000);
    await nats.killHard();
    const publisher = startPublisher();
    record(publisher, 1_000);
    const lost = await publisher.close(100);
    rmSync(other);
    const [batch] = (await createSpillFolder(folder, logger).take())?.batches ?? [];
    expect(batch?.count).toBe(1_000 - lost);
    expect(JSON.parse(batch?.payload ?? '')).toMatchObject({ sequence: 1, dropped: lost - 500 });
    await startNatsAgain();
  });
});

test('a disk that refuses loses them all, says so, and nothing breaks', async () => {
  writeFileSync(folder, 'a file where the folder should be');
  await nats.killHard();
  const publisher = startPublisher();
  record(publisher, 12);
  expect(await publisher.close(100)).toBe(12);
  await startNatsAgain();
});
