import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

type MetricOptions<L extends string> = {
  /** `<what>_<unit>`, for instance `request_seconds`; the prefix `millrace_<service>_` is put before it. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly L[];
};

/** The Prometheus registry of one service, with helpers that give every metric its prefix. */
export type Metrics = {
  readonly registry: Registry;
  readonly prefix: string;
  counter<L extends string = never>(options: MetricOptions<L>): Counter<L>;
  gauge<L extends string = never>(
    options: MetricOptions<L> & { collect?: (gauge: Gauge<L>) => void | Promise<void> },
  ): Gauge<L>;
  histogram<L extends string = never>(
    options: MetricOptions<L> & { buckets?: readonly number[] },
  ): Histogram<L>;
};

/** Upper bounds in seconds from 0.5 ms to 30 s: fine where predictions are, coarse where jobs are submitted. */
export const SECONDS_BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30,
];

/** Creates the registry of a service, with the default metrics of the process under their usual names. */
export function createMetrics(options: { service: string; withDefaults?: boolean }): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service: options.service });
  if (options.withDefaults !== false) collectDefaultMetrics({ register: registry });
  const prefix = `millrace_${options.service.replaceAll('-', '_')}_`;
  const base = <L extends string>(metric: MetricOptions<L>) => ({
    name: prefix + metric.name,
    help: metric.help,
    labelNames: [...(metric.labels ?? [])],
    registers: [registry],
  });
  return {
    registry,
    prefix,
    counter: (metric) => new Counter(base(metric)),
    gauge: (metric) => {
      const { collect } = metric;
      return new Gauge({
        ...base(metric),
        ...(collect === undefined
          ? {}
          : {
              collect(this) {
                return collect(this);
              },
            }),
      });
    },
    histogram: (metric) =>
      new Histogram({ ...base(metric), buckets: [...(metric.buckets ?? SECONDS_BUCKETS)] }),
  };
}
