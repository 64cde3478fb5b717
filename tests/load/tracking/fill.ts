import pg from 'pg';
import type { TrackingServer } from './servers.ts';

/** What both databases get for each run: five metrics, five parameters and four tags, from its number. */
const VALUES = `
  generate_series(1, $1::int) as i,
  lateral (select md5('run' || i)::uuid as id, ((i * 7919::bigint) % 100003) / 100003.0::float8 as x) as r`;
const METRICS = `lateral (values ('acc', x), ('loss', 1 - x), ('f1', x / 2), ('epoch', i::float8), ('lr', 0.1::float8)) as m (key, value)`;
const PARAMS = `lateral (values ('lr', (i % 10)::text), ('opt', case when i % 2 = 0 then 'adam' else 'sgd' end), ('layers', (i % 50)::text),
  ('model', 'resnet' || i % 100), ('seed', i::text)) as p (key, value)`;
const TAGS = `lateral (values ('team', 'team' || i % 200), ('mlflow.user', 'ann'), ('mlflow.runName', 'run ' || i), ('stage', (i % 3)::text)) as t (key, value)`;
const START_MS = 1_700_000_000_000;

/** Writes runs straight into a server's tables: through its API the peer would take an hour. */
export async function fillRuns(server: TrackingServer, experimentId: string, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: server.databaseUrl });
  await client.connect();
  try {
    for (const statement of server.name === 'millrace' ? ours(experimentId) : theirs(experimentId))
      await client.query(statement, [count]);
    await client.query('vacuum analyze');
  } finally {
    await client.end();
  }
}

function ours(experimentId: string): string[] {
  const id = Number(experimentId);
  const pairs = (table: string, values: string): string =>
    `insert into registry.${table} (run_id, key, experiment_id, value) select id, key, ${id}, value from ${VALUES}, ${values}`;
  return [
    `insert into registry.runs (id, tenant, experiment_id, name, user_id, status, start_ms, end_ms, lifecycle_stage, artifact_uri)
      select id, 'default', ${id}, 'run ' || i, 'ann', 'FINISHED', ${START_MS} + i, ${START_MS} + i + 5, 'active',
        'mlflow-artifacts:/${id}/x/artifacts' from ${VALUES}`,
    `insert into registry.run_latest_metrics (run_id, key, experiment_id, step, timestamp_ms, value)
      select id, key, ${id}, 0, ${START_MS}, value from ${VALUES}, ${METRICS}`,
    pairs('run_params', PARAMS),
    pairs('run_tags', TAGS),
  ];
}

function theirs(experimentId: string): string[] {
  const id = Number(experimentId);
  const run = `replace(id::text, '-', '')`;
  return [
    `insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
        source_version, lifecycle_stage, artifact_uri, experiment_id)
      select ${run}, 'run ' || i, 'UNKNOWN', '', '', 'ann', 'FINISHED', ${START_MS} + i, ${START_MS} + i + 5, '', 'active',
        'mlflow-artifacts:/${id}/x/artifacts', ${id} from ${VALUES}`,
    `insert into latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
      select key, value, ${START_MS}, 0, false, ${run} from ${VALUES}, ${METRICS}`,
    `insert into params (key, value, run_uuid) select key, value, ${run} from ${VALUES}, ${PARAMS}`,
    `insert into tags (key, value, run_uuid) select key, value, ${run} from ${VALUES}, ${TAGS}`,
  ];
}
