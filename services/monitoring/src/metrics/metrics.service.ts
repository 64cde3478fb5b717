import { AppError } from '@millrace/contracts';
import { latencyQuantiles } from '../rollups/latency-sketch.ts';
import type { Cover, RetentionDays, Segment } from '../rollups/time-cover.ts';
import { coverRange, DAY_MS, keptSince } from '../rollups/time-cover.ts';
import type { MetricsFilter, MetricsRepository, MetricsSums, Sketched } from './metrics.repository.ts';

/** Steps of one answer at most. */
export const STEPS_MAX = 1_500;

/** Widths of steps (ms). */
export const STEP_MS = { minute: 60_000, hour: 3_600_000, day: DAY_MS } as const;

/** A range whose ends are inclusive (ms since 1970); either may be absent. */
export type Range = { startTime?: number | undefined; endTime?: number | undefined };

export type MetricsQuestion = MetricsFilter &
  Range & {
    groupBy?: 'version' | 'stage' | undefined;
    step?: keyof typeof STEP_MS | undefined;
    quantiles: readonly number[];
  };

/** Averages of some predictions; null where there is nothing to average. */
export type Averages = {
  count: number;
  avgLatency: number | null;
  avgConfidence: number | null;
  /** Share of right ones among those whose feedback says so. */
  accuracy: number | null;
};

export type MetricsItem = Averages & {
  version: string | null;
  stage: string | null;
  /** Start of the step (ms since 1970). */
  startTime: number | null;
  latency: { quantile: number; ms: number | null }[];
  judged: number;
  sizeBytes: number;
};

export type MetricsAnswer = {
  startTime: number | null;
  endTime: number | null;
  /** The answer is of the range that was asked for, to the millisecond. */
  isExact: boolean;
  items: MetricsItem[];
};

export type MetricsService = {
  averages(filter: MetricsFilter, range: Range): Promise<Averages>;
  answer(question: MetricsQuestion): Promise<MetricsAnswer>;
  /** Counts of confidences in equal parts of [0, 1], and the range they are of. */
  confidences(filter: MetricsFilter, range: Range): Promise<{ bins: number[]; isExact: boolean }>;
};

const NOTHING: MetricsSums = {
  version: '',
  stage: '',
  start: null,
  predictions: 0,
  latencyNs: 0,
  confidences: 0,
  confidenceNano: 0,
  sizeBytes: 0,
  judged: 0,
  correct: 0,
};

function averagesOf(sums: MetricsSums): Averages {
  const { predictions: count, latencyNs, confidences, confidenceNano, judged, correct } = sums;
  return {
    count,
    avgLatency: count === 0 ? null : latencyNs / count / 1e6,
    avgConfidence: confidences === 0 ? null : confidenceNano / confidences / 1e9,
    accuracy: judged === 0 ? null : correct / judged,
  };
}

const finite = (ms: number): number | null => (Number.isFinite(ms) ? ms : null);

/** Answers questions about many predictions from their roll-ups; `days` says how long each is kept. */
export function createMetricsService(
  repository: MetricsRepository,
  days: RetentionDays,
  now: () => number = Date.now,
): MetricsService {
  const coverOf = ({ startTime, endTime }: Range): Cover =>
    coverRange(
      startTime ?? Number.NEGATIVE_INFINITY,
      endTime === undefined ? Number.POSITIVE_INFINITY : endTime + 1,
      now(),
      days,
    );

  /** Whole roll-ups of one width that touch a range. */
  function stepsOf({ startTime, endTime }: Range, step: keyof typeof STEP_MS): Cover {
    const widthMs = STEP_MS[step];
    if (startTime === undefined)
      throw new AppError('invalid_request', 'querystring.startTime is needed with step.');
    const end = endTime === undefined ? now() : endTime + 1;
    const from = Math.floor(startTime / widthMs) * widthMs;
    const to = Math.ceil(end / widthMs) * widthMs;
    if ((to - from) / widthMs > STEPS_MAX)
      throw new AppError(
        'invalid_request',
        `The range has more than ${STEPS_MAX} steps; take a wider step or a shorter range.`,
      );
    const kept = { minute: days.minutes, hour: days.hours, day: days.days }[step];
    const isExact = from === startTime && to === end && from >= keptSince(now(), kept);
    const segments: Segment[] = from < to ? [{ widthMs, from, to }] : [];
    return { from, to, isExact, segments };
  }

  /** In the order of time, then of names; without groups always one. */
  function inOrder(groups: Sketched[], { groupBy, step }: MetricsQuestion): Sketched[] {
    if (groups.length === 0 && groupBy === undefined && step === undefined)
      return [{ ...NOTHING, sketch: new Map() }];
    return groups.sort(
      (a, b) =>
        (a.start ?? 0) - (b.start ?? 0) ||
        a.version.localeCompare(b.version) ||
        a.stage.localeCompare(b.stage),
    );
  }

  return {
    async averages(filter, range) {
      return averagesOf((await repository.total(filter, coverOf(range).segments)) ?? NOTHING);
    },
    async answer(question) {
      const { step, groupBy, quantiles } = question;
      const cover = step === undefined ? coverOf(question) : stepsOf(question, step);
      const grouping = { groupBy, byStart: step !== undefined };
      const groups = await repository.sketched(question, cover.segments, grouping);
      const items = inOrder(groups, question).map((group): MetricsItem => {
        const values = latencyQuantiles(group.sketch, quantiles);
        return {
          version: groupBy === 'version' ? group.version : (question.version ?? null),
          stage: groupBy === 'stage' ? group.stage : (question.stage ?? null),
          startTime: group.start,
          ...averagesOf(group),
          latency: quantiles.map((quantile, index) => ({ quantile, ms: values[index] ?? null })),
          judged: group.judged,
          sizeBytes: group.sizeBytes,
        };
      });
      const { from, to, isExact } = cover;
      return { startTime: finite(from), endTime: finite(to - 1), isExact, items };
    },
    async confidences(filter, range) {
      const { segments, isExact } = coverOf(range);
      return { bins: await repository.confidenceBins(filter, segments), isExact };
    },
  };
}
