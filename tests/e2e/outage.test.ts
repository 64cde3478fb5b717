import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually, isLongRun, promisedTime } from '@millrace/testing';
import type { Answer, Json, TestPlatform } from './platform.ts';
import { pidOf, startTestPlatform, whileHeld } from './platform.ts';

/** A few seconds in `npm test`; `npm run verify:full` takes the whole minute that is promised. */
const OUTAGE_MS = isLongRun ? 60_000 : 4_000;
const CALM_MS = 2_000;
const PREDICTIONS_PER_SECOND = 20;
/** Every so many predictions get feedback at once, whoever is away. */
const FEEDBACK_EVERY = 20;
/** The gateway gives up on a service that stands still after 30 s. */
const ANSWER_MS_MAX = 35_000;
const PREDICT_MS_MAX = promisedTime(5_000);
/** A service ends within 25 s by itself. */
const STOP_MS_MAX = 30_000;
const CATCH_UP_MS = 60_000;
const EVENTS_PAGE_MS = 10_000;
const TEST_TIMEOUT_MS = OUTAGE_MS + CALM_MS + CATCH_UP_MS + ANSWER_MS_MAX + 30_000;

type Sent = { answer: Answer; tookMs: number };
type Traffic = { model: string; predictions: Sent[]; feedback: Map<string, boolean>; refusals: Sent[] };

let millrace: TestPlatform;

beforeAll(async () => {
  millrace = await startTestPlatform();
}, 120_000);

afterAll(async () => {
  await millrace?.stop();
}, 60_000);

async function timed(method: string, path: string, body?: unknown): Promise<Sent> {
  const start = performance.now();
  const answer = await millrace.call(method, path, body);
  return { answer, tookMs: performance.now() - start };
}

async function upload(model: string): Promise<void> {
  const onnx = readFileSync(
    new URL('../../services/inference/test/fixtures/classifier.onnx', import.meta.url),
  );
  const form = new FormData();
  for (const [name, value] of Object.entries({ modelId: model, version: 'v1', framework: 'onnx' }))
    form.append(name, value);
  form.append('file', new Blob([onnx]), 'model.onnx');
  const { status } = await millrace.call('POST', '/model/upload', form);
  expect(status).toBe(201);
}

/** Sends feedback until it is taken, as a client that heeds `Retry-After` does. */
async function sendFeedback(traffic: Traffic, inferenceId: string, isCorrect: boolean): Promise<void> {
  traffic.feedback.set(inferenceId, isCorrect);
  for (;;) {
    const sent = await timed('POST', '/feedback', { inferenceId, outcome: { class: 1 }, correct: isCorrect });
    if (sent.answer.status === 200) return;
    traffic.refusals.push(sent);
    await delay(Number(sent.answer.headers.get('retry-after') ?? 1) * 1_000);
  }
}

/** Predictions at a steady rate while `work` runs, with feedback for some; resolves when all are answered. */
async function withTraffic(model: string, work: (traffic: Traffic) => Promise<void>): Promise<Traffic> {
  const traffic: Traffic = { model, predictions: [], feedback: new Map(), refusals: [] };
  const open = new Set<Promise<void>>();
  let count = 0;
  const predictOnce = async (): Promise<void> => {
    count += 1;
    const number = count;
    const float_input = Array.from({ length: 10 }, (_, i) => i / 10 + number / 1_000);
    const sent = await timed('POST', '/predict', { modelId: model, features: { float_input } });
    traffic.predictions.push(sent);
    if (sent.answer.status === 200 && number % FEEDBACK_EVERY === 0)
      await sendFeedback(traffic, sent.answer.body.inferenceId, number % (2 * FEEDBACK_EVERY) === 0);
  };
  const timer = setInterval(() => {
    const one = predictOnce().finally(() => open.delete(one));
    open.add(one);
  }, 1_000 / PREDICTIONS_PER_SECOND);
  try {
    await delay(CALM_MS);
    await work(traffic);
    await delay(CALM_MS);
  } finally {
    clearInterval(timer);
    await Promise.all(open);
  }
  return traffic;
}

/** Every event of a model, asked for in slices of time that do not overlap. */
async function allEvents(model: string, since: number, until: number): Promise<Json[]> {
  const events: Json[] = [];
  for (let from = since; from <= until; from += EVENTS_PAGE_MS) {
    const query = `modelId=${model}&limit=1000&startTime=${from}&endTime=${from + EVENTS_PAGE_MS - 1}`;
    const { body } = await millrace.call('GET', `/monitoring/events?${query}`);
    expect(body.count).toBeLessThan(1_000);
    events.push(...body.events);
  }
  return events;
}

/** The time that nine of ten took at most. */
function mostMs(sent: readonly Sent[]): number {
  const times = sent.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.9)] ?? 0;
}

/** Nothing of the traffic is missing or doubled, and every feedback found its prediction. */
async function expectWhole(traffic: Traffic, since: number): Promise<void> {
  const ids = traffic.predictions.map(({ answer }) => answer.body.inferenceId as string);
  await eventually(
    async () => {
      const { body } = await millrace.call('GET', `/monitoring/metrics?modelId=${traffic.model}`);
      expect(body.count).toBe(ids.length);
    },
    { timeoutMs: CATCH_UP_MS, intervalMs: 200 },
  );
  const { body: ingest } = await millrace.call('GET', '/v1/monitoring/ingest');
  expect(ingest.items.find((item: Json) => item.model === traffic.model)).toMatchObject({
    stored: ids.length,
    dropped: 0,
    missingBatches: 0,
  });
  const events = await allEvents(traffic.model, since, Date.now());
  expect(events.map(({ id }) => id).sort()).toEqual([...ids].sort());
  expect(traffic.feedback.size).toBeGreaterThan(0);
  const judged = new Map(
    events.filter(({ correct }) => correct !== null).map((one) => [one.id, one.correct]),
  );
  expect(judged).toEqual(traffic.feedback);
}

/** Refusals say what is away by a code of the catalogue, and when to come again. */
function expectHonest(refusals: readonly Sent[], codes: readonly string[]): void {
  for (const { answer, tookMs } of refusals) {
    expect(answer.status).toBe(503);
    expect(codes).toContain(answer.body.code);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(tookMs).toBeLessThan(ANSWER_MS_MAX);
  }
  if (isLongRun) expect(refusals.length).toBeGreaterThan(0);
}

function expectServed({ predictions }: Traffic): void {
  expect(predictions.filter(({ answer }) => answer.status !== 200)).toEqual([]);
  expect(predictions.length).toBeGreaterThan(((OUTAGE_MS + CALM_MS) / 1_000) * PREDICTIONS_PER_SECOND * 0.8);
  // the first ones of an outage ask the registry in vain, for 2 s
  expect(Math.max(...predictions.map(({ tookMs }) => tookMs))).toBeLessThan(PREDICT_MS_MAX);
  if (isLongRun) expect(mostMs(predictions)).toBeLessThan(PREDICT_MS_MAX / 10);
}

describe.each([
  ['monitoring', ['dependency_unavailable']],
  ['postgres', ['dependency_unavailable', 'database_unavailable']],
])('%s away', (part, codes) => {
  test(
    `for ${OUTAGE_MS / 1_000} s: predictions are answered, and none of them is lost`,
    async () => {
      const model = `without-${part}`;
      await upload(model);
      const before = (await millrace.call('GET', '/v1/inference/models')).body.telemetry;
      const since = Date.now();
      const traffic = await withTraffic(model, () =>
        whileHeld(millrace, part, async () => {
          await delay(OUTAGE_MS);
        }),
      );
      expectServed(traffic);
      expectHonest(traffic.refusals, codes);
      await expectWhole(traffic, since);
      const { telemetry } = (await millrace.call('GET', '/v1/inference/models')).body;
      expect(telemetry.recorded - before.recorded).toBe(traffic.predictions.length);
      expect(telemetry).toMatchObject({ dropped: 0, waiting: 0, sent: telemetry.recorded });
    },
    TEST_TIMEOUT_MS,
  );
});

test('inference stopped while NATS is away: what it answered is stored after its next start', async () => {
  const model = 'without-nats';
  await upload(model);
  const features = { float_input: Array.from({ length: 10 }, (_, i) => i / 10) };
  const predict = async (): Promise<string> => {
    const { status, body } = await millrace.call('POST', '/predict', { modelId: model, features });
    expect(status).toBe(200);
    return body.inferenceId;
  };
  const ids = [await predict()];
  const pid = pidOf(millrace, 'inference');
  await whileHeld(millrace, 'nats', async () => {
    for (let i = 0; i < 30; i += 1) ids.push(await predict());
    process.kill(pid, 'SIGTERM');
    await eventually(() => millrace.platform.state().parts.every((part) => part.pid !== pid), {
      timeoutMs: STOP_MS_MAX,
    });
  });
  await eventually(
    async () => {
      const { body } = await millrace.call('GET', `/monitoring/events?modelId=${model}&limit=1000`);
      expect(body.events.map(({ id }: Json) => id).sort()).toEqual([...ids].sort());
    },
    { timeoutMs: CATCH_UP_MS, intervalMs: 200 },
  );
}, 150_000);
