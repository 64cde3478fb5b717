import type { DetailedEvent, MetricsReport, QualityReportOfModel } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, integerOption, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytes, fields, short, table } from '../format.ts';

const EVENTS_DEFAULT = 20;
const PAGE_MAX = 500;
const CLASSES_SHOWN = 20;

export const monitorCommand: Command = {
  name: 'monitor',
  summary: 'what became of predictions: metrics, quality, events, the data of a user',
  help: `millrace monitor metrics MODEL[@VERSION]   counts, latencies, confidence, accuracy; by version, stage or time
millrace monitor quality MODEL[@VERSION]   what feedback says: precision, recall, F1, AUC, calibration, errors
millrace monitor events [MODEL[@VERSION]]  the newest predictions
millrace monitor export USER               every prediction kept of a user with its feedback, one JSON text a line
millrace monitor erase USER --yes          removes them for good
millrace monitor erasures                  whose data was erased, by whom
  --since TIME      only from then on: 2026-11-22T10:00:00Z
  --until TIME      only until then
  --by GROUP        version or stage (metrics)
  --step STEP       minute, hour or day (metrics; needs --since)
  --limit N         events shown (default ${EVENTS_DEFAULT}, at most ${PAGE_MAX})
  --user USER       only of this user (events)`,
  options: {
    since: { type: 'string' },
    until: { type: 'string' },
    by: { type: 'string' },
    step: { type: 'string' },
    limit: { type: 'string' },
    user: { type: 'string' },
    yes: { type: 'boolean' },
  },
  async run(context) {
    const [verb] = context.positionals;
    if (verb === 'metrics') return await metrics(context);
    if (verb === 'quality') return await quality(context);
    if (verb === 'events') return await events(context);
    if (verb === 'export') return await exportUser(context);
    if (verb === 'erase') return await erase(context);
    if (verb === 'erasures') return await erasures(context);
    throw new UsageError(`'${verb ?? ''}' is not metrics, quality, events, export, erase or erasures.`);
  },
};

const number = (value: number | null): string => (value === null ? '-' : short(value));
const time = (ms: number | null): string => (ms === null ? '-' : new Date(ms).toISOString());

function timeOption(context: Context, name: string): number | undefined {
  const text = textOption(context, name);
  if (text === undefined) return undefined;
  const ms = Date.parse(text);
  if (ms >= 0) return ms;
  throw new UsageError(`--${name} takes a time such as 2026-11-22T10:00:00Z, not '${text}'.`);
}

function choice<T extends string>(context: Context, name: string, values: readonly T[]): T | undefined {
  const text = textOption(context, name);
  if (text === undefined) return undefined;
  const found = values.find((value) => value === text);
  if (found !== undefined) return found;
  throw new UsageError(`--${name} takes ${values.join(', ')}, not '${text}'.`);
}

function rangeOf(context: Context): { startTime?: number; endTime?: number } {
  const [startTime, endTime] = [timeOption(context, 'since'), timeOption(context, 'until')];
  return { ...(startTime !== undefined && { startTime }), ...(endTime !== undefined && { endTime }) };
}

function filterOf(context: Context) {
  const { name, version } = modelArgument(argument(context, 1, 'The model'));
  return { modelId: name, ...(version !== undefined && { version }), ...rangeOf(context) };
}

function describeMetrics({ items, isExact, startTime, endTime }: MetricsReport): string {
  const quantiles = items[0]?.latency ?? [];
  const heads = [
    'version',
    'stage',
    'from',
    'count',
    'mean ms',
    ...quantiles.map(({ quantile }) => `p${short(quantile * 100)}`),
    'confidence',
    'accuracy',
    'size',
  ];
  const rows = items.map((item) => [
    item.version ?? '-',
    item.stage ?? '-',
    time(item.startTime),
    item.count,
    number(item.avgLatency),
    ...item.latency.map(({ ms }) => number(ms)),
    number(item.avgConfidence),
    number(item.accuracy),
    bytes(item.sizeBytes),
  ]);
  const cut = isExact
    ? ''
    : `\nThe range is not kept to the minute any more: ${time(startTime)} to ${time(endTime)}.`;
  return items.length === 0 ? 'No prediction.' : table(heads, rows) + cut;
}

async function metrics(context: Context): Promise<number> {
  const groupBy = choice(context, 'by', ['version', 'stage']);
  const step = choice(context, 'step', ['minute', 'hour', 'day']);
  const report = await context.client.monitoring.metrics({
    ...filterOf(context),
    ...(groupBy !== undefined && { groupBy }),
    ...(step !== undefined && { step }),
  });
  show(context, report, () => describeMetrics(report));
  return exitCodes.ok;
}

function describeQuality({ feedback, classification, regression, estimate }: QualityReportOfModel): string {
  const estimated =
    estimate === null
      ? '- (too few known truths)'
      : `${short(estimate.accuracy)} (${short(estimate.low)} to ${short(estimate.high)}), if confidences still mean what they meant`;
  const about = fields([
    ['feedback', `${feedback.matched}, of it ${feedback.incomparable} not comparable`],
    ['contradictory', feedback.contradictory],
    ['accuracy', classification && short(classification.accuracy)],
    ['macro precision', classification && short(classification.macroPrecision)],
    ['macro recall', classification && short(classification.macroRecall)],
    ['macro F1', classification && short(classification.macroF1)],
    ['AUC', classification && number(classification.auc)],
    ['log loss', classification && number(classification.logLoss)],
    ['Brier', classification && number(classification.brier)],
    ['calibration error', classification && number(classification.calibrationError)],
    ['MAE', regression && short(regression.mae)],
    ['RMSE', regression && short(regression.rmse)],
    ['mean error', regression && short(regression.meanError)],
    ['R2', regression && number(regression.r2)],
    ['estimated accuracy', estimated],
  ]);
  if (classification === null) return about;
  const rows = classification.classes
    .slice(0, CLASSES_SHOWN)
    .map(({ label, support, precision, recall, f1 }) => [
      label,
      support,
      number(precision),
      number(recall),
      number(f1),
    ]);
  return `${about}\n\n${table(['class', 'true', 'precision', 'recall', 'F1'], rows)}`;
}

async function quality(context: Context): Promise<number> {
  const report = await context.client.monitoring.quality(filterOf(context));
  show(context, report, () => describeQuality(report));
  return exitCodes.ok;
}

function describeEvents(items: readonly DetailedEvent[]): string {
  const rows = items.map((event) => [
    time(event.timestamp),
    event.id,
    `${event.modelId}@${event.modelVersion}`,
    event.stage,
    number(event.latencyMs),
    number(event.confidence),
    event.correct === null ? '-' : event.correct ? 'right' : 'wrong',
  ]);
  const heads = ['time', 'prediction', 'model', 'stage', 'ms', 'confidence', 'feedback'];
  return rows.length === 0 ? 'No prediction.' : table(heads, rows);
}

async function events(context: Context): Promise<number> {
  const limit = integerOption(context, 'limit', 1) ?? EVENTS_DEFAULT;
  if (limit > PAGE_MAX) throw new UsageError(`--limit takes at most ${PAGE_MAX}.`);
  const user = textOption(context, 'user');
  const page = await context.client.monitoring.events({
    ...(context.positionals[1] === undefined ? rangeOf(context) : filterOf(context)),
    ...(user !== undefined && { userId: user }),
    limit,
  });
  show(context, page, () => describeEvents(page.items));
  return exitCodes.ok;
}

async function exportUser(context: Context): Promise<number> {
  const user = argument(context, 1, 'The user');
  let cursor: string | undefined;
  do {
    const page = await context.client.monitoring.userData(user, {
      limit: PAGE_MAX,
      ...(cursor !== undefined && { cursor }),
    });
    for (const item of page.items) context.print(JSON.stringify(item));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return exitCodes.ok;
}

async function erase(context: Context): Promise<number> {
  const user = argument(context, 1, 'The user');
  if (context.options.yes !== true)
    throw new UsageError(
      'This cannot be undone; add --yes, or see first what there is: millrace monitor export.',
    );
  let [predictions, feedback] = [0, 0];
  for (let isComplete = false; !isComplete; ) {
    const step = await context.client.monitoring.eraseUser(user);
    predictions += step.predictions;
    feedback += step.feedback;
    isComplete = step.isComplete;
  }
  show(
    context,
    { predictions, feedback },
    () => `${predictions} predictions and ${feedback} feedback erased.`,
  );
  return exitCodes.ok;
}

async function erasures(context: Context): Promise<number> {
  const page = await context.client.monitoring.erasures({ limit: PAGE_MAX });
  show(context, page, () =>
    page.items.length === 0
      ? 'Nothing was erased.'
      : table(
          ['time', 'by', 'predictions', 'feedback', 'user (digest)'],
          page.items.map((one) => [
            one.erasedAt,
            one.principal,
            one.predictions,
            one.feedback,
            one.userDigest,
          ]),
        ),
  );
  return exitCodes.ok;
}
