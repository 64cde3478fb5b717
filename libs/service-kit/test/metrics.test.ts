import { expect, test } from '@jest/globals';
import { Histogram, Registry } from 'prom-client';
import { createMetrics, mergeMetrics, snapshotMetrics } from '../src/metrics.ts';

const BUCKETS = [0.1, 1, 10];
const VALUES = [0.05, 0.1, 0.11, 1, 9.99, 10, 10.01, 500];

/** The lines of one metric, in the order of the text. */
const linesOf = (text: string, name: string): string[] =>
  text.split('\n').filter((line) => line.includes(name));

test('a kept series says what the histogram of prom-client says', async () => {
  const metrics = createMetrics({ service: 'test', withDefaults: false });
  const series = metrics.series({ name: 'run_seconds', help: 'Runs.', labels: ['model'], buckets: BUCKETS });
  const registry = new Registry();
  registry.setDefaultLabels({ service: 'test' });
  const theirs = new Histogram({
    name: 'millrace_test_run_seconds',
    help: 'Runs.',
    labelNames: ['model'],
    buckets: BUCKETS,
    registers: [registry],
  });
  for (const model of ['a', 'b']) {
    for (const value of VALUES) {
      series({ model }).observe(value);
      theirs.observe({ model }, value);
    }
  }
  const ours = linesOf(await metrics.registry.metrics(), 'run_seconds');
  expect(ours.length).toBe(2 + 2 * (BUCKETS.length + 3));
  expect(ours.toSorted()).toEqual(linesOf(await registry.metrics(), 'run_seconds').toSorted());
});

test('series of several processes are added up', async () => {
  const [one, two] = [1, 2].map((count) => {
    const metrics = createMetrics({ service: 'test', withDefaults: false });
    const series = metrics.series({
      name: 'run_seconds',
      help: 'Runs.',
      labels: ['model'],
      buckets: BUCKETS,
    });
    for (let i = 0; i < count; i += 1) series({ model: 'a' }).observe(0.5);
    return metrics;
  }) as [ReturnType<typeof createMetrics>, ReturnType<typeof createMetrics>];
  const merged = await mergeMetrics([await snapshotMetrics(one), await snapshotMetrics(two)]);
  expect(merged).toMatch(/run_seconds_bucket\{model="a",le="1",service="test"\} 3\n/);
  expect(merged).toMatch(/run_seconds_sum\{model="a",service="test"\} 1.5\n/);
  expect(merged).toMatch(/run_seconds_count\{model="a",service="test"\} 3\n/);
});
