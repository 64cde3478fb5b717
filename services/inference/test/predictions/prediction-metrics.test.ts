import { expect, test } from '@jest/globals';
import type { ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { createMetrics } from '@millrace/service-kit';
import type { LoadedModel, ModelStore } from '../../src/models/model-store.ts';
import { createPredictionMetrics, IDLE_VERSIONS_MAX } from '../../src/predictions/prediction-metrics.ts';
import type { PredictionPublisher } from '../../src/telemetry/prediction-publisher.ts';

const stats = { recorded: 0, sent: 0, waiting: 0, dropped: 0, recovered: 0 };
const publisher = { stats: () => stats } as unknown as PredictionPublisher;
const loadedModel = (version: ResolvedVersion): LoadedModel =>
  ({
    version,
    served: { queue: { stats: () => ({ depth: 0 }) }, runner: { residentBytes: () => 1 } },
  }) as unknown as LoadedModel;
const version = (i: number): ResolvedVersion =>
  ({ modelVersionId: `id-${i}`, model: `m${i}`, version: 'v1' }) as ResolvedVersion;
const ANSWER = { queueMs: 0, computeMs: 1, joinedRows: 1 } as Parameters<
  ReturnType<typeof createPredictionMetrics>['observe']
>[1];

test('versions that left memory keep their series up to a bound, those in memory always', async () => {
  const loaded = [0, 1, 2].map(version);
  const store = { list: () => loaded.map(loadedModel) } as unknown as ModelStore;
  const metrics = createMetrics({ service: 'test', withDefaults: false });
  const predictions = createPredictionMetrics(metrics, store, publisher);
  const count = 4 * IDLE_VERSIONS_MAX;
  for (let i = 0; i < count; i += 1) {
    predictions.observe(version(i), ANSWER, 2);
    predictions.fail(version(i), new AppError('queue_full', 'Full.'));
  }
  const text = await metrics.registry.metrics();
  const models = (name: string): string[] => [
    ...new Set(
      [...text.matchAll(new RegExp(`${name}\\{[^}]*model="(\\w+)"`, 'g'))].map((match) => match[1] as string),
    ),
  ];
  for (const name of ['request_seconds_count', 'queue_seconds_sum', 'run_rows_bucket', 'failures_total']) {
    const found = models(name);
    expect(found.length).toBeLessThanOrEqual(IDLE_VERSIONS_MAX + loaded.length + 1);
    expect(found).toEqual(expect.arrayContaining(['m0', 'm1', 'm2', `m${count - 1}`]));
    expect(found).not.toContain('m3');
  }
});

test('a version that comes back counts again', async () => {
  const store = { list: () => [] } as unknown as ModelStore;
  const metrics = createMetrics({ service: 'test', withDefaults: false });
  const predictions = createPredictionMetrics(metrics, store, publisher);
  const first = version(0);
  predictions.observe(first, ANSWER, 2);
  for (let i = 1; i <= 2 * IDLE_VERSIONS_MAX; i += 1) predictions.observe(version(i), ANSWER, 2);
  expect(await metrics.registry.metrics()).not.toContain('model="m0"');
  for (let i = 0; i < 3; i += 1) predictions.observe(first, ANSWER, 2);
  expect(await metrics.registry.metrics()).toMatch(/request_seconds_count\{[^}]*model="m0"[^}]*\} 3/);
});
