import { fileURLToPath } from 'node:url';
import type { PredictionBatch } from '@millrace/contracts';
import { createDatabase, migrate } from '@millrace/database';
import { createAuth, createKeySetHolder, createLogger, createMetrics } from '@millrace/service-kit';
import { createTestDatabase } from '@millrace/testing';
import { buildApp } from '../../src/app.ts';
import { createPartitions, dayOf } from '../../src/predictions/partitions.ts';
import { storeBatch } from '../../src/predictions/prediction.repository.ts';

/** How long data is kept in tests (days). */
export const DAYS = { predictions: 30, minutes: 30, hours: 400, days: 3_650 };

/** An answer of the service. */
export type Answer<T> = { readonly status: number; readonly body: T };

/** The HTTP side of monitoring in this process, on a database of its own and without NATS; `stop` it. */
export async function startMonitoring() {
  const testDatabase = await createTestDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: testDatabase.url, schema: 'monitoring', folder });
  const database = createDatabase({ url: testDatabase.url, applicationName: 'monitoring-test' });
  const partitions = createPartitions(database);
  const logger = createLogger({ service: 'monitoring', level: 'fatal' });
  const app = await buildApp({
    logger,
    metrics: createMetrics({ service: 'monitoring', withDefaults: false }),
    auth: createAuth({ mode: 'local', keySet: createKeySetHolder(), logger }),
    readiness: {},
    database,
    unmatchedAfterHours: 0,
    retention: DAYS,
  });

  async function call<T>(method: 'GET' | 'POST' | 'DELETE', url: string, body?: object): Promise<Answer<T>> {
    const headers = { host: '127.0.0.1' };
    const answer = await app.inject({ method, url, headers, ...(body !== undefined && { payload: body }) });
    return { status: answer.statusCode, body: answer.json() as T };
  }

  return {
    database,
    call,
    /** The body of an answer that is no refusal. */
    async get<T>(url: string): Promise<T> {
      const { status, body } = await call<T>('GET', url);
      if (status !== 200) throw new Error(`${url}: ${status} ${JSON.stringify(body)}`);
      return body;
    },
    /** Stores a batch as the consumer does. */
    async store(data: PredictionBatch): Promise<boolean> {
      await partitions.ensure(new Set(data.predictions.map(({ time }) => dayOf(new Date(time)))));
      return storeBatch(database, data);
    },
    async rows<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
      return (await database.pool.query<Row>(text, values)).rows;
    },
    async stop(): Promise<void> {
      await app.close();
      await database.close();
      await testDatabase.drop();
    },
  };
}

export type TestMonitoring = Awaited<ReturnType<typeof startMonitoring>>;
