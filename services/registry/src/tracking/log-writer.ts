import { AppError } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { and, eq, inArray, sql } from 'drizzle-orm';
import { PgDialect } from 'drizzle-orm/pg-core';
import type { LoggedModelTables } from './logged-model.table.ts';
import { RUN_NAME_TAG, runIdOf, runNotFound } from './names.ts';
import type { RunRow, RunTables } from './run.table.ts';

export type MetricEntry = {
  readonly key: string;
  readonly value: number;
  readonly timestampMs: number;
  readonly step: number;
  readonly modelId?: string;
  readonly datasetName?: string;
  readonly datasetDigest?: string;
};
export type Pair = { readonly key: string; readonly value: string };

/** What one request logs to one run: all of it or nothing. */
export type LogRequest = {
  readonly tenant: string;
  /** As Postgres has it. */
  readonly runId: string;
  readonly metrics: readonly MetricEntry[];
  readonly params: readonly Pair[];
  readonly tags: readonly Pair[];
};

/** Why a request was not written; undefined when it was. */
export type LogFault = AppError | undefined;

type Good = { readonly request: LogRequest; readonly experimentId: number };

const dialect = new PgDialect();

/** Writes what runs log, many requests in one transaction. */
export function createLogWriter(
  database: Database,
  tables: RunTables & Pick<LoggedModelTables, 'loggedModels' | 'loggedModelMetrics'>,
): {
  write(requests: readonly LogRequest[]): Promise<LogFault[]>;
  /** The same as part of a transaction. */
  writeIn(tx: Executor, requests: readonly LogRequest[]): Promise<LogFault[]>;
} {
  return {
    writeIn: (tx, requests) => writeMixed(tx, tables, requests),
    write: async (requests) =>
      requests.every(isPlain)
        ? await writePlain(database, tables, requests)
        : await database.transaction((tx) => writeMixed(tx, tables, requests)),
  };
}

const isPlain = ({ metrics, params, tags }: LogRequest): boolean =>
  params.length === 0 && tags.length === 0 && metrics.every(({ modelId }) => modelId === undefined);

/** Metrics alone are one statement, which is its own transaction: one round trip and one flush to disk. */
async function writePlain(
  { pool, db }: Database,
  tables: RunTables,
  requests: readonly LogRequest[],
): Promise<LogFault[]> {
  const { sql: text, params: values } = dialect.sqlToQuery(metricsSql(tables, requests));
  try {
    // by its name, so that Postgres parses and plans it once a connection
    const { rows } = await pool.query<{ request: number }>({ name: 'tracking_metrics', text, values });
    const written = new Set(rows.map(({ request }) => request));
    if (written.size === requests.length) return requests.map(() => undefined);
    const runs = await findRuns(db, tables, requests, false);
    return requests.map((request, index) => (written.has(index) ? undefined : faultOf(request, runs)));
  } catch (error) {
    throw toDatabaseError(error);
  }
}

/** Adds to the history and moves the latest entry forward, for the runs that are there and active. */
function metricsSql({ runs, runMetrics, runLatestMetrics }: RunTables, requests: readonly LogRequest[]): SQL {
  const all = requests.flatMap(({ metrics }, request) => metrics.map((metric) => ({ request, ...metric })));
  const list = (values: readonly unknown[], type: string) => sql`${sql.param(values)}::${sql.raw(type)}[]`;
  return sql`
    with request as (
      select * from unnest(
        ${list(
          requests.map((_, request) => request),
          'int4',
        )},
        ${list(
          requests.map(({ runId }) => runId),
          'uuid',
        )},
        ${list(
          requests.map(({ tenant }) => tenant),
          'text',
        )}
      ) as t (request, run_id, tenant)
    ), good as (
      select q.request, q.run_id, r.experiment_id from request q
      join ${runs} r on r.id = q.run_id and r.tenant = q.tenant and r.lifecycle_stage = 'active'
    ), entry as (
      select g.run_id, g.experiment_id, m.key, m.timestamp_ms, m.step, m.value
      from unnest(
        ${list(
          all.map(({ request }) => request),
          'int4',
        )},
        ${list(
          all.map(({ key }) => key),
          'text',
        )},
        ${list(
          all.map(({ timestampMs }) => timestampMs),
          'int8',
        )},
        ${list(
          all.map(({ step }) => step),
          'int8',
        )},
        ${list(
          all.map(({ value }) => value),
          'float8',
        )}
      ) as m (request, key, timestamp_ms, step, value)
      join good g using (request)
    ), history as (
      insert into ${runMetrics} (run_id, key, timestamp_ms, step, value)
      select run_id, key, timestamp_ms, step, value from entry
      order by run_id, key, timestamp_ms, step, value
      on conflict do nothing
    ), latest as (
      insert into ${runLatestMetrics} as l (run_id, key, experiment_id, step, timestamp_ms, value)
      select distinct on (run_id, key) run_id, key, experiment_id, step, timestamp_ms, value from entry
      order by run_id, key, step desc, timestamp_ms desc, value desc
      on conflict (run_id, key) do update
        set step = excluded.step, timestamp_ms = excluded.timestamp_ms, value = excluded.value
        where (excluded.step, excluded.timestamp_ms, excluded.value) > (l.step, l.timestamp_ms, l.value)
    )
    select request from good`;
}

type FoundRuns = ReadonlyMap<string, Pick<RunRow, 'id' | 'tenant' | 'experimentId' | 'lifecycleStage'>>;

async function findRuns(
  db: Executor,
  { runs }: RunTables,
  requests: readonly LogRequest[],
  isLocked: boolean,
): Promise<FoundRuns> {
  const query = db
    .select({
      id: runs.id,
      tenant: runs.tenant,
      experimentId: runs.experimentId,
      lifecycleStage: runs.lifecycleStage,
    })
    .from(runs)
    .where(inArray(runs.id, [...new Set(requests.map(({ runId }) => runId))]))
    .orderBy(runs.id);
  // parameters are written once: who writes some waits for whoever else does so to the same run
  const rows = isLocked ? await query.for('no key update') : await query;
  return new Map(rows.map((row) => [row.id, row]));
}

function faultOf({ runId, tenant }: LogRequest, runs: FoundRuns): LogFault {
  const run = runs.get(runId);
  if (run === undefined || run.tenant !== tenant) return runNotFound(runIdOf(runId));
  if (run.lifecycleStage === 'active') return undefined;
  return notActive(runIdOf(runId));
}

/** The error for a change of a run that is deleted. */
export function notActive(runId: string): AppError {
  return new AppError('not_active', `The run ${runId} must be in the 'active' state; restore it first.`);
}

async function writeMixed(
  tx: Executor,
  tables: RunTables & Pick<LoggedModelTables, 'loggedModels' | 'loggedModelMetrics'>,
  requests: readonly LogRequest[],
): Promise<LogFault[]> {
  const runs = await findRuns(tx, tables, requests, true);
  const models = await findModels(tx, tables, requests);
  const params = await findParams(tx, tables, requests);
  const faults = requests.map(
    (request) => faultOf(request, runs) ?? modelFault(request, models) ?? takeParams(request, params),
  );
  const good = requests.flatMap((request, index): Good[] => {
    const experimentId = runs.get(request.runId)?.experimentId;
    return faults[index] === undefined && experimentId !== undefined ? [{ request, experimentId }] : [];
  });
  const withMetrics = good.map(({ request }) => request).filter(({ metrics }) => metrics.length > 0);
  if (withMetrics.length > 0) await tx.execute(metricsSql(tables, withMetrics));
  await insertModelMetrics(tx, tables, withMetrics);
  await insertParams(tx, tables, good);
  await upsertTags(tx, tables, good);
  return faults;
}

async function findModels(
  tx: Executor,
  { loggedModels }: Pick<LoggedModelTables, 'loggedModels'>,
  requests: readonly LogRequest[],
): Promise<ReadonlyMap<string, string>> {
  const ids = requests.flatMap(({ metrics }) => metrics.flatMap(({ modelId }) => modelId ?? []));
  if (ids.length === 0) return new Map();
  const rows = await tx
    .select({ id: loggedModels.id, tenant: loggedModels.tenant })
    .from(loggedModels)
    .where(and(inArray(loggedModels.id, [...new Set(ids)]), eq(loggedModels.lifecycleStage, 'active')));
  return new Map(rows.map(({ id, tenant }) => [id, tenant]));
}

function modelFault({ metrics, tenant }: LogRequest, models: ReadonlyMap<string, string>): LogFault {
  const stranger = metrics.find(({ modelId }) => modelId !== undefined && models.get(modelId) !== tenant);
  if (stranger === undefined) return undefined;
  return new AppError('logged_model_not_found', `Logged model with ID '${stranger.modelId}' not found.`);
}

const nameOf = (runId: string, key: string): string => `${runId}/${key}`;

async function findParams(
  tx: Executor,
  { runParams }: RunTables,
  requests: readonly LogRequest[],
): Promise<Map<string, string>> {
  const writers = requests.filter(({ params }) => params.length > 0);
  if (writers.length === 0) return new Map();
  const keys = new Set(writers.flatMap(({ params }) => params.map(({ key }) => key)));
  const rows = await tx
    .select({ runId: runParams.runId, key: runParams.key, value: runParams.value })
    .from(runParams)
    .where(
      and(
        inArray(runParams.runId, [...new Set(writers.map(({ runId }) => runId))]),
        inArray(runParams.key, [...keys]),
      ),
    );
  return new Map(rows.map(({ runId, key, value }) => [nameOf(runId, key), value]));
}

/** Notes a request's parameters, unless one has another value already. */
function takeParams({ runId, params }: LogRequest, known: Map<string, string>): LogFault {
  for (const { key, value } of params) {
    const old = known.get(nameOf(runId, key)) ?? value;
    if (old !== value)
      return new AppError(
        'param_conflict',
        `Changing param values is not allowed. Param with key='${key}' was already logged with value='${old}' for run ID='${runIdOf(runId)}'. Attempted logging new value '${value}'.`,
      );
  }
  for (const { key, value } of params) known.set(nameOf(runId, key), value);
  return undefined;
}

async function insertModelMetrics(
  tx: Executor,
  { loggedModelMetrics }: Pick<LoggedModelTables, 'loggedModelMetrics'>,
  requests: readonly LogRequest[],
): Promise<void> {
  const rows = requests.flatMap(({ runId, metrics }) =>
    metrics.flatMap(({ modelId, datasetName = '', datasetDigest = '', ...metric }) =>
      modelId === undefined ? [] : [{ ...metric, modelId, runId, datasetName, datasetDigest }],
    ),
  );
  if (rows.length > 0) await tx.insert(loggedModelMetrics).values(rows).onConflictDoNothing();
}

async function insertParams(tx: Executor, { runParams }: RunTables, good: readonly Good[]): Promise<void> {
  const rows = good.flatMap(({ request: { runId, params }, experimentId }) =>
    params.map((pair) => ({ ...pair, runId, experimentId })),
  );
  if (rows.length > 0) await tx.insert(runParams).values(rows).onConflictDoNothing();
}

async function upsertTags(tx: Executor, { runTags, runs }: RunTables, good: readonly Good[]): Promise<void> {
  // the last value of a tag stands; in the order of their key, so that two processes never wait for each other
  const last = new Map(
    good.flatMap(({ request: { runId, tags }, experimentId }) =>
      tags.map((pair) => [nameOf(runId, pair.key), { ...pair, runId, experimentId }] as const),
    ),
  );
  const rows = [...last.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  if (rows.length === 0) return;
  await tx
    .insert(runTags)
    .values(rows)
    .onConflictDoUpdate({ target: [runTags.runId, runTags.key], set: { value: sql`excluded.value` } });
  for (const { runId, key, value } of rows)
    if (key === RUN_NAME_TAG) await tx.update(runs).set({ name: value }).where(eq(runs.id, runId));
}
