import { AppError } from '@millrace/contracts';
import type { GroupCommit } from './group-commit.ts';
import type { LogFault, LogRequest, MetricEntry, Pair } from './log-writer.ts';
import { checkedName, cutTo, PARAM_LENGTH_MAX, runUuid } from './names.ts';
import { checkedRunTag } from './run.service.ts';

/** MLflow's bounds of one log-batch. */
const METRICS_MAX = 1_000;
const PAIRS_MAX = 100;
const ENTITIES_MAX = 1_000;
const DATASET_NAME_LENGTH_MAX = 500;
const DATASET_DIGEST_LENGTH_MAX = 36;

export type LogService = ReturnType<typeof createLogService>;

/** Takes what runs log: checks it, then writes it together with what others log at this moment. */
export function createLogService(deps: { commits: GroupCommit<LogRequest, LogFault> }) {
  return {
    /**
     * Resolves once all of it is committed; nothing is kept when it throws `invalid_request`, `run_not_found`,
     * `not_active`, `param_conflict`, `logged_model_not_found` or `queue_full`.
     */
    async log(
      tenant: string,
      runId: string,
      entries: {
        metrics?: readonly MetricEntry[];
        params?: readonly Pair[];
        tags?: readonly Pair[];
        /** Before the index in messages, as `metrics` is in `metrics[3].name`; none for single entries. */
        isBatch: boolean;
      },
    ): Promise<void> {
      const { metrics = [], params = [], tags = [], isBatch } = entries;
      assertBatch(metrics.length, params.length, tags.length);
      const path = (list: string, index: number, field: string): string =>
        isBatch ? `${list}[${index}].${field}` : field;
      const request: LogRequest = {
        tenant,
        runId: runUuid(runId),
        metrics: metrics.map((metric, index) =>
          checkedMetric(metric, (field) => path('metrics', index, field)),
        ),
        params: params.map(({ key, value }, index) => ({
          key: checkedName(key, path('params', index, 'key')),
          value: cutTo(value, PARAM_LENGTH_MAX),
        })),
        tags: tags.map((tag, index) => checkedRunTag(tag, path('tags', index, 'key'))),
      };
      assertKeysOnce(request.params);
      const fault = await deps.commits.add(request);
      if (fault !== undefined) throw fault;
    },
  };
}

function checkedMetric(metric: MetricEntry, path: (field: string) => string): MetricEntry {
  checkedName(metric.key, path('name'));
  if (metric.timestampMs < 0)
    throw new AppError(
      'invalid_request',
      `Invalid value ${metric.timestampMs} for parameter '${path('timestamp')}' supplied: Timestamp must be a nonnegative long (64-bit integer).`,
    );
  if ((metric.datasetName?.length ?? 0) > DATASET_NAME_LENGTH_MAX)
    throw new AppError(
      'invalid_request',
      `'${path('dataset_name')}' exceeds ${DATASET_NAME_LENGTH_MAX} characters.`,
    );
  if ((metric.datasetDigest?.length ?? 0) > DATASET_DIGEST_LENGTH_MAX)
    throw new AppError(
      'invalid_request',
      `'${path('dataset_digest')}' exceeds ${DATASET_DIGEST_LENGTH_MAX} characters.`,
    );
  return metric;
}

function assertBatch(metrics: number, params: number, tags: number): void {
  assertBound('metrics', metrics, METRICS_MAX);
  assertBound('params', params, PAIRS_MAX);
  assertBound('tags', tags, PAIRS_MAX);
  assertBound('metrics, params, and tags', metrics + params + tags, ENTITIES_MAX);
}

function assertBound(name: string, length: number, max: number): void {
  if (length <= max) return;
  throw new AppError(
    'invalid_request',
    `A batch logging request can contain at most ${max} ${name}. Got ${length} ${name}. Please split up ${name} across multiple requests and try again.`,
  );
}

function assertKeysOnce(params: readonly Pair[]): void {
  const keys = params.map(({ key }) => key);
  const doubled = keys.filter((key, index) => keys.indexOf(key) !== index);
  if (doubled.length === 0) return;
  throw new AppError(
    'invalid_request',
    `Duplicate parameter keys have been submitted: ${JSON.stringify(doubled)}. Please ensure the request contains only one param value per param key.`,
  );
}
