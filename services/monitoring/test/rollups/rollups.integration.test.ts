import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Prediction } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import { removeOldRollups } from '../../src/predictions/retention.ts';
import { RELATIVE_ERROR } from '../../src/rollups/latency-sketch.ts';
import { recordStage } from '../../src/stages/stage.repository.ts';
import { batch, prediction } from '../support/batches.ts';
import type { TestMonitoring } from '../support/start-monitoring.ts';
import { DAYS, startMonitoring } from '../support/start-monitoring.ts';

const DAY_MS = 86_400_000;
/** Noon of yesterday, so that what follows lies within whole days of the past. */
const NOON = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS / 2;
/** A sequence of numbers in [0, 1) that is the same in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

type Metrics = {
  count: number;
  avgLatency: number | null;
  avgConfidence: number | null;
  accuracy: number | null;
};
type Item = Metrics & {
  version: string | null;
  stage: string | null;
  startTime: number | null;
  judged: number;
  sizeBytes: number;
  latency: { quantile: number; ms: number | null }[];
};
type Answer = { isExact: boolean; startTime: number | null; endTime: number | null; items: Item[] };

let monitoring: TestMonitoring;
beforeAll(async () => {
  monitoring = await startMonitoring();
});
afterAll(() => monitoring.stop());

const metricsOf = (model: string, query = '') =>
  monitoring.get<Answer>(`/v1/monitoring/metrics?modelId=${model}${query}`);

/** Predictions over two and a half days with latencies of many sizes; every third without a confidence. */
function spread(count: number, seed: number): Prediction[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, (_, index) =>
    prediction({
      time: new Date(NOON - Math.floor(random() * 2.5 * DAY_MS)).toISOString(),
      latencyMs: Math.round(10 ** (random() * 5 - 1) * 1000) / 1000,
      confidence: index % 3 === 0 ? null : Math.fround(random()),
    }),
  );
}

/** The sums of a range as one statement over all rows gives them. */
async function naive(model: string, from: number, to: number): Promise<Metrics & { latencies: number[] }> {
  const [row] = await monitoring.rows<Metrics & { latencies: number[] | null }>(
    `select count(*)::int as count, avg(p.latency_ms::numeric)::float8 as "avgLatency",
       avg(round(p.confidence::numeric, 9))::float8 as "avgConfidence",
       avg(case f.correct when true then 1.0 when false then 0.0 end)::float8 as accuracy,
       array_agg(p.latency_ms order by p.latency_ms) as latencies
     from monitoring.predictions p
     left join monitoring.feedback f on f.inference_id = p.id and f.tenant = p.tenant
     where p.model = $1 and p.at >= $2 and p.at < $3`,
    [model, new Date(from), new Date(to + 1)],
  );
  return { ...(row as Metrics), latencies: row?.latencies ?? [] };
}

describe('metrics from roll-ups', () => {
  const model = 'spread';
  beforeAll(async () => {
    const predictions = spread(3_000, 1);
    const [one, other] = [newId(), newId()];
    const batches = Array.from({ length: 12 }, (_, index) =>
      batch(model, predictions.slice(index * 250, (index + 1) * 250), {
        modelVersionId: index % 2 === 0 ? one : other,
        version: index % 2 === 0 ? 'v1' : 'v2',
      }),
    );
    // all at once: they add to the same rows
    await Promise.all(batches.map((data) => monitoring.store(data)));
    const items = predictions
      .filter((_, index) => index % 5 === 0)
      .map(({ inferenceId }, index) => ({ inferenceId, outcome: {}, correct: index % 3 > 0 }));
    const { status } = await monitoring.call('POST', '/v1/monitoring/feedback', { items });
    expect(status).toBe(200);
  });

  test('are those of the rows, over any range', async () => {
    const random = randomNumbers(2);
    for (let round = 0; round < 25; round += 1) {
      const length = 10 ** (random() * 5 + 3.5);
      const from = Math.floor(NOON - random() * 2.6 * DAY_MS);
      const to = Math.floor(from + length);
      const range = `&startTime=${from}&endTime=${to}`;
      const { latencies, ...expected } = await naive(model, from, to);
      const { modelId: _, ...seed } = await monitoring.get<Metrics & { modelId: string }>(
        `/monitoring/metrics?modelId=${model}${range}`,
      );
      expect(seed).toEqual({
        count: expected.count,
        accuracy: expected.accuracy,
        avgLatency: expected.avgLatency === null ? null : expect.closeTo(expected.avgLatency, 9),
        avgConfidence: expected.avgConfidence === null ? null : expect.closeTo(expected.avgConfidence, 12),
      });
      const { items, isExact } = await metricsOf(model, `${range}&quantiles=0,0.5,0.95,1`);
      expect(isExact).toBe(true);
      expect(items[0]).toMatchObject(seed);
      for (const { quantile, ms } of items[0]?.latency ?? []) {
        if (latencies.length === 0) expect(ms).toBeNull();
        else {
          const exact = latencies[Math.floor(quantile * (latencies.length - 1))] as number;
          expect(Math.abs((ms as number) - exact) / exact).toBeLessThanOrEqual(RELATIVE_ERROR + 1e-6);
        }
      }
    }
  });

  test('are given by version and by step', async () => {
    const { items } = await metricsOf(model, '&groupBy=version');
    expect(items.map(({ version, count }) => [version, count])).toEqual([
      ['v1', 1_500],
      ['v2', 1_500],
    ]);
    expect(items[0]?.sizeBytes).toBeGreaterThan(1_500 * 100);
    const range = `&startTime=${NOON - 2.5 * DAY_MS}&endTime=${NOON}`;
    for (const step of ['hour', 'day']) {
      const steps = await metricsOf(model, `${range}&step=${step}`);
      expect(steps.items.reduce((sum, { count }) => sum + count, 0)).toBe(3_000);
      const starts = steps.items.map(({ startTime }) => startTime as number);
      expect(starts).toEqual([...new Set(starts)].sort());
    }
    for (const [step, widthMs] of [
      ['hour', 3_600_000],
      ['day', DAY_MS],
    ] as const) {
      const [first] = (await metricsOf(model, `${range}&step=${step}&groupBy=version`)).items;
      const start = first?.startTime as number;
      const whole = `&startTime=${start}&endTime=${start + widthMs - 1}&version=${first?.version}`;
      const [same] = (await metricsOf(model, whole)).items;
      expect({ ...same, startTime: start, stage: first?.stage }).toEqual(first);
    }
    const only = await metricsOf(model, '&version=v2');
    expect(only.items).toMatchObject([{ version: 'v2', count: 1_500 }]);
  });

  test('are what the migration makes of predictions that were there before', async () => {
    const columns = `tenant, model, model_version_id, version, stage, width_seconds, start_at, predictions, latency_ns,
      confidences, confidence_nano, confidence_bins, size_bytes, latency_keys, latency_counts`;
    const all = (table: string) =>
      monitoring.rows(`select ${columns} from ${table} order by 1, 2, 3, 5, 6, 7`);
    const live = await all('monitoring.rollups');
    expect(live.length).toBeGreaterThan(2_000);
    const file = new URL('../../migrations/0003_rollups.sql', import.meta.url);
    const statement = readFileSync(file, 'utf8')
      .split('--> statement-breakpoint')
      .find((text) => /insert into "monitoring"."rollups"/i.test(text)) as string;
    await monitoring.rows('create table monitoring.made (like monitoring.rollups)');
    await monitoring.rows(statement.replace('"monitoring"."rollups"', '"monitoring"."made"'));
    expect(await all('monitoring.made')).toEqual(live);
    await monitoring.rows('drop table monitoring.made');
  });

  test.each([
    ['a range the wrong way round', '&startTime=2&endTime=1'],
    ['a step without a start', '&step=hour'],
    ['more steps than an answer has', '&step=minute&startTime=0'],
    ['a quantile over 1', '&quantiles=0.5,1.5'],
    ['no quantile', '&quantiles='],
    ['too many quantiles', `&quantiles=${new Array(17).fill('0.5').join(',')}`],
    ['an unknown group', '&groupBy=userId'],
    ['an unknown field', '&other=1'],
  ])('refuse %s', async (_what, query) => {
    const { status } = await monitoring.call('GET', `/v1/monitoring/metrics?modelId=${model}${query}`);
    expect(status).toBe(400);
  });
});

test('a batch that comes again adds nothing', async () => {
  const data = batch('again', [prediction(), prediction()]);
  expect(await Promise.all([1, 2, 3].map(() => monitoring.store(data)))).toEqual(
    expect.arrayContaining([true, false, false]),
  );
  expect((await metricsOf('again')).items).toMatchObject([{ count: 2 }]);
});

test('predictions are counted under the stage at which they were made', async () => {
  const modelVersionId = newId();
  const change = (at: number, stage: string) =>
    recordStage(monitoring.database.db, { modelVersionId, since: new Date(at), stage });
  await change(NOON - 3_000, 'development');
  await change(NOON - 1_000, 'production');
  await change(NOON - 1_000, 'production');
  const at = (ms: number) => prediction({ time: new Date(NOON + ms).toISOString() });
  await monitoring.store(batch('staged', [at(-4_000), at(-2_000), at(-1_000), at(0)], { modelVersionId }));
  const { items } = await metricsOf('staged', '&groupBy=stage');
  expect(items.map(({ stage, count }) => [stage, count])).toEqual([
    ['development', 1],
    ['production', 2],
    ['unknown', 1],
  ]);
  expect((await metricsOf('staged', '&stage=production')).items).toMatchObject([{ count: 2 }]);
});

test('latencies and confidences out of their range are counted at its end', async () => {
  const odd = [
    { latencyMs: 1e300, confidence: 7 },
    { latencyMs: 0, confidence: -1e300 },
  ];
  await monitoring.store(
    batch(
      'odd',
      odd.map((one) => prediction(one)),
    ),
  );
  const [item] = (await metricsOf('odd', '&quantiles=0,1')).items;
  expect(item?.latency[1]?.ms).toBeLessThan(1.02e7);
  expect(item?.latency[0]?.ms).toBeLessThan(1.02e-3);
});

test('roll-ups past their retention are removed, the narrow ones first', async () => {
  const model = 'old';
  const ages = [10, 40, 500];
  const times = ages.map((days) => new Date(Date.now() - days * DAY_MS).toISOString());
  for (const time of times) await monitoring.store(batch(model, [prediction({ time })]));
  await removeOldRollups(monitoring.database, new Date(), DAYS);
  const kept = await monitoring.rows<{ width: number; count: number }>(
    `select width_seconds as width, count(*)::int as count from monitoring.rollups where model = $1
     group by 1 order by 1`,
    [model],
  );
  expect(kept).toEqual([
    { width: 60, count: 1 },
    { width: 3_600, count: 2 },
    { width: 86_400, count: 3 },
  ]);
  // the predictions of forty days ago may be gone, the hour is still known
  const start = Date.parse(times[1] as string);
  const { isExact, items } = await metricsOf(model, `&startTime=${start}&endTime=${start}`);
  expect({ isExact, count: items[0]?.count }).toEqual({ isExact: false, count: 1 });
});
