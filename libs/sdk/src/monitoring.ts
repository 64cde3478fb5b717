import type { InferenceEvent, Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Which predictions; times are ms since 1970, both ends inclusive. */
export type PredictionFilter = {
  readonly modelId: string;
  readonly version?: string;
  readonly stage?: string;
  readonly startTime?: number;
  readonly endTime?: number;
};

/** Metrics of some predictions of a model; latencies in ms. */
export type MetricsReport = {
  readonly modelId: string;
  readonly startTime: number | null;
  readonly endTime: number | null;
  readonly isExact: boolean;
  readonly latencyRelativeError: number;
  readonly items: readonly {
    readonly version: string | null;
    readonly stage: string | null;
    readonly startTime: number | null;
    readonly count: number;
    readonly avgLatency: number | null;
    readonly avgConfidence: number | null;
    readonly accuracy: number | null;
    readonly judged: number;
    readonly latency: readonly { readonly quantile: number; readonly ms: number | null }[];
    readonly sizeBytes: number;
  }[];
};

/** What feedback says of predictions, and what to expect of those without. */
export type QualityReportOfModel = {
  readonly modelId: string;
  readonly feedback: {
    readonly matched: number;
    readonly classified: number;
    readonly measured: number;
    readonly incomparable: number;
    readonly contradictory: number;
    readonly medianDelaySeconds: number | null;
    readonly oldestAt: number | null;
  };
  readonly classification: {
    readonly count: number;
    readonly accuracy: number;
    readonly macroPrecision: number;
    readonly macroRecall: number;
    readonly macroF1: number;
    readonly logLoss: number | null;
    readonly brier: number | null;
    readonly calibrationError: number | null;
    readonly auc: number | null;
    readonly classes: readonly {
      readonly label: string;
      readonly support: number;
      readonly precision: number | null;
      readonly recall: number | null;
      readonly f1: number | null;
    }[];
  } | null;
  readonly regression: {
    readonly count: number;
    readonly mae: number;
    readonly rmse: number;
    readonly meanError: number;
    readonly r2: number | null;
  } | null;
  readonly estimate: {
    readonly accuracy: number;
    readonly low: number;
    readonly high: number;
    readonly predictions: number;
    readonly labelled: number;
  } | null;
};

/** A prediction with all that is known of it. */
export type DetailedEvent = InferenceEvent & {
  readonly stage: string;
  readonly userId: string | null;
  readonly sessionId: string | null;
  readonly outcome: unknown;
};

/** What became of one feedback. */
export type RecordedFeedback = {
  readonly inferenceId: string;
  readonly state: 'recorded' | 'corrected' | 'duplicate' | 'expired';
  readonly isMatched: boolean;
  readonly isContradictory: boolean;
};

/** An erasure of a user's data; the user only as a digest. */
export type Erasure = {
  readonly id: string;
  readonly userDigest: string;
  readonly principal: string;
  readonly predictions: number;
  readonly feedback: number;
  readonly erasedAt: string;
};

/** Metrics, quality and events of predictions, and the data of users. */
export function createMonitoringClient({ call }: Transport) {
  const user = (id: string) => `/v1/monitoring/users/${encodeURIComponent(id)}/data`;
  return {
    metrics: async (
      query: PredictionFilter & {
        groupBy?: 'version' | 'stage';
        step?: 'minute' | 'hour' | 'day';
        /** Numbers from 0 to 1 with commas between them. */
        quantiles?: string;
      },
    ) => await call<MetricsReport>('GET', '/v1/monitoring/metrics', { query }),
    quality: async (query: PredictionFilter) =>
      await call<QualityReportOfModel>('GET', '/v1/monitoring/quality', { query }),
    events: async (query: Partial<Omit<PredictionFilter, 'stage'>> & { userId?: string } & PageQuery = {}) =>
      await call<Page<DetailedEvent>>('GET', '/v1/monitoring/events', { query }),
    /** Feedback of up to 1,000 predictions; the same again changes nothing. */
    feedback: async (items: readonly { inferenceId: string; outcome: unknown; correct?: boolean }[]) =>
      (
        await call<{ items: RecordedFeedback[] }>('POST', '/v1/monitoring/feedback', {
          body: { items },
          isRepeatable: true,
        })
      ).items,
    userData: async (userId: string, query: PageQuery = {}) =>
      await call<
        Page<
          DetailedEvent & {
            readonly feedback: readonly {
              readonly outcome: unknown;
              readonly correct: boolean | null;
              readonly receivedAt: string;
            }[];
          }
        >
      >('GET', user(userId), { query }),
    /** Asked again until `isComplete` it removes a user of any size. */
    eraseUser: async (userId: string) =>
      await call<Erasure & { readonly isComplete: boolean }>('DELETE', user(userId)),
    erasures: async (query: PageQuery = {}) =>
      await call<Page<Erasure>>('GET', '/v1/monitoring/erasures', { query }),
  };
}
