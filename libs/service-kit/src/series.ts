import type { Registry } from 'prom-client';

/** One series of a histogram, found once and then only added to. */
export type Series = { observe(value: number): void };

type Labels<L extends string> = Readonly<Record<L, string | number>>;
type Cells = { labels: Labels<string>; counts: number[]; sum: number; count: number };
type Bound = { le?: number | string };
type Value = { labels: Bound; sharedLabels: Labels<string>; value: number; metricName: string };

export type SeriesOptions = {
  name: string;
  help: string;
  buckets: readonly number[];
  registry: Registry;
};

/** The series of some labels, made at the first call; `remove` takes them out of the metric. */
export type SeriesFamily<L extends string> = ((labels: Labels<L>) => Series) & {
  remove(labels: Labels<L>): void;
};

/**
 * A Prometheus histogram for values that come ten thousand times a second: its caller keeps the series, where
 * prom-client's own makes a text of the labels for each value to find it.
 */
export function createSeries<L extends string>(options: SeriesOptions): SeriesFamily<L> {
  const { name, help, registry } = options;
  const buckets = [...options.buckets].sort((a, b) => a - b);
  const held = new Map<string, Cells & Series>();

  function create(labels: Labels<L>): Cells & Series {
    const cells = {
      labels,
      counts: new Array<number>(buckets.length).fill(0),
      sum: 0,
      count: 0,
      observe(value: number) {
        let bucket = 0;
        while (bucket < buckets.length && value > (buckets[bucket] as number)) bucket += 1;
        if (bucket < buckets.length) cells.counts[bucket] = (cells.counts[bucket] as number) + 1;
        cells.sum += value;
        cells.count += 1;
      },
    };
    return cells;
  }

  function valuesOf({ labels, counts, sum, count }: Cells): Value[] {
    let total = 0;
    const told = (suffix: string, own: Bound, value: number): Value => ({
      labels: own,
      sharedLabels: labels,
      value,
      metricName: `${name}_${suffix}`,
    });
    const values = counts.map((own, i) => {
      total += own;
      return told('bucket', { le: buckets[i] as number }, total);
    });
    const last = [told('bucket', { le: '+Inf' }, count), told('sum', {}, sum), told('count', {}, count)];
    return [...values, ...last];
  }

  const about = { name, help, type: 'histogram', aggregator: 'sum' };
  const metric = {
    ...about,
    getForPromString: async () => ({ ...about, values: [...held.values()].flatMap(valuesOf) }),
    async get() {
      const { values } = await metric.getForPromString();
      const splayed = values.map(({ sharedLabels, labels, ...rest }) => ({
        ...rest,
        labels: { ...sharedLabels, ...labels },
      }));
      return { ...about, values: splayed };
    },
    reset: () => held.clear(),
  };
  registry.registerMetric(metric as never);

  function of(labels: Labels<L>): Series {
    const key = JSON.stringify(labels);
    const found = held.get(key);
    if (found !== undefined) return found;
    const cells = create(labels);
    held.set(key, cells);
    return cells;
  }
  return Object.assign(of, { remove: (labels: Labels<L>) => void held.delete(JSON.stringify(labels)) });
}
