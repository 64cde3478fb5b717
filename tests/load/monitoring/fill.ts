import { readFileSync } from 'node:fs';
import pg from 'pg';

const DAY_MS = 86_400_000;
/** Events made by one statement. */
const CHUNK = 500_000;

const EVENTS = `
  insert into monitoring.predictions (id, at, tenant, model_version_id, model, version, framework, user_id, inputs,
    outputs, confidence, latency_ms, stage, size_bytes)
  select gen_random_uuid(), $1::timestamptz + (n * $2::float8) * interval '1 millisecond', 'default',
    ('00000000-0000-7000-8000-' || lpad((n % 3)::text, 12, '0'))::uuid, 'model-' || n % $5, 'v' || n % 3, 'onnx',
    'user-' || n % 10007,
    '[{"name": "x", "dtype": "float32", "shape": [1, 4], "values": [0.1, 0.2, 0.3, 0.4]}]',
    '[{"name": "y", "dtype": "float32", "shape": [1, 2], "values": [0.9, 0.1]}]',
    random(), power(10, random() * 4 - 1), 'production', 134
  from generate_series($3::bigint, $4::bigint) as n`;

/** Fills the table with `events` predictions of `models` models over `days` days until now, and makes their roll-ups. */
export async function fillEvents(
  databaseUrl: string,
  { events, models, days }: { events: number; models: number; days: number },
  report: (done: number) => void,
): Promise<{ from: number; to: number }> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const to = Date.now();
    const from = to - days * DAY_MS;
    for (let at = from; at <= to + DAY_MS; at += DAY_MS) {
      const day = new Date(at).toISOString().slice(0, 10);
      const next = new Date(Date.parse(day) + DAY_MS).toISOString().slice(0, 10);
      await client.query(
        `create table if not exists monitoring.predictions_p${day.replaceAll('-', '')}
         partition of monitoring.predictions for values from ('${day}T00:00:00Z') to ('${next}T00:00:00Z')`,
      );
    }
    for (let first = 0; first < events; first += CHUNK) {
      const last = Math.min(events, first + CHUNK) - 1;
      await client.query(EVENTS, [new Date(from), (to - from) / events, first, last, models]);
      report(last + 1);
    }
    const file = new URL('../../../services/monitoring/migrations/0003_rollups.sql', import.meta.url);
    const statements = readFileSync(file, 'utf8').split('--> statement-breakpoint');
    const rollUp = statements.find((text) => /insert into "monitoring"."rollups"/i.test(text)) as string;
    await client.query('truncate monitoring.rollups');
    await client.query(rollUp);
    await client.query('vacuum analyze monitoring.predictions');
    await client.query('vacuum analyze monitoring.rollups');
    return { from, to };
  } finally {
    await client.end();
  }
}
