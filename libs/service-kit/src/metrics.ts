import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { SeriesFamily } from './series.ts';
import { createSeries } from './series.ts';

type MetricOptions<L extends string> = {
  /** `<what>_<unit>`, for instance `request_seconds`; the prefix `millrace_<service>_` is put before it. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly L[];
  /** Stands before the name instead of the usual prefix: names that another product made known. */
  readonly prefix?: string;
};

/** The Prometheus registry of one service, with helpers that give every metric its prefix. */
export type Metrics = {
  readonly registry: Registry;
  readonly prefix: string;
  counter<L extends string = never>(
    options: MetricOptions<L> & { collect?: (counter: Counter<L>) => void | Promise<void> },
  ): Counter<L>;
  gauge<L extends string = never>(
    options: MetricOptions<L> & { collect?: (gauge: Gauge<L>) => void | Promise<void> },
  ): Gauge<L>;
  histogram<L extends string = never>(
    options: MetricOptions<L> & { buckets?: readonly number[] },
  ): Histogram<L>;
  /** A histogram whose caller keeps its series, for what happens many thousand times a second. */
  series<L extends string = never>(
    options: MetricOptions<L> & { buckets?: readonly number[] },
  ): SeriesFamily<L>;
};

/** Upper bounds in seconds from 0.5 ms to 30 s: fine where predictions are, coarse where jobs are submitted. */
export const SECONDS_BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30,
];

/**
 * How often the delay of the event loop is looked at (ms). Each look wakes the process: every 10 ms, as is usual, costs an
 * idle service up to 5 % of a slow core.
 */
const LOOP_LOOK_MS = 100;

/**
 * Creates the registry of a service, with the default metrics of the process under their usual names. `loopLookMs` is the
 * precision of the event loop's delay, and what it is when nothing is late.
 */
export function createMetrics(options: {
  service: string;
  withDefaults?: boolean;
  loopLookMs?: number;
}): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service: options.service });
  const eventLoopMonitoringPrecision = options.loopLookMs ?? LOOP_LOOK_MS;
  if (options.withDefaults !== false)
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision });
  const prefix = `millrace_${options.service.replaceAll('-', '_')}_`;
  const base = <L extends string>(metric: MetricOptions<L>) => ({
    name: (metric.prefix ?? prefix) + metric.name,
    help: metric.help,
    labelNames: [...(metric.labels ?? [])],
    registers: [registry],
  });
  return {
    registry,
    prefix,
    counter: (metric) => {
      const { collect } = metric;
      return new Counter({
        ...base(metric),
        ...(collect !== undefined && {
          collect(this: Counter) {
            return collect(this);
          },
        }),
      });
    },
    gauge: (metric) => {
      const { collect } = metric;
      return new Gauge({
        ...base(metric),
        ...(collect !== undefined && {
          collect(this: Gauge) {
            return collect(this);
          },
        }),
      });
    },
    histogram: (metric) =>
      new Histogram({ ...base(metric), buckets: [...(metric.buckets ?? SECONDS_BUCKETS)] }),
    series(metric) {
      const { name, help } = base(metric);
      return createSeries({ name, help, registry, buckets: metric.buckets ?? SECONDS_BUCKETS });
    },
  };
}

/** The values of a registry at one moment, as JSON: for a service of several processes. */
export type MetricsSnapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

export const snapshotMetrics = (metrics: Metrics): Promise<MetricsSnapshot> =>
  metrics.registry.getMetricsAsJSON();

/** One Prometheus text of the metrics of several processes: counters, histograms and gauges are added up. */
export function mergeMetrics(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return AggregatorRegistry.aggregate([...snapshots] as never).metrics();
}
