import { fileURLToPath } from 'node:url';
import type { Bus, Pull, RpcMethod } from '@millrace/bus';
import { callRpc, connectBus, createOutbox, createOutboxRelay, ensureStreams } from '@millrace/bus';
import type { WorkerMethod } from '@millrace/contracts';
import { TrainingJobEvents, workerMethods } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import type { JobRuntime, JobService } from '@millrace/jobs';
import { cancelHint, createJobService, startJobRuntime } from '@millrace/jobs';
import { createRecipeCatalog } from '@millrace/recipes';
import type { PrivateNats, TestDatabase } from '@millrace/testing';
import { createTestDatabase, startNats } from '@millrace/testing';
import { startPipelineConsumers } from '../src/pipelines/pipeline.consumer.ts';
import type { PipelineRepository } from '../src/pipelines/pipeline.repository.ts';
import { createPipelineRepository } from '../src/pipelines/pipeline.repository.ts';
import type { PipelineService } from '../src/pipelines/pipeline.service.ts';
import { createPipelineService } from '../src/pipelines/pipeline.service.ts';
import { busTables, jobTables, pipelines as pipelineTable } from '../src/schema.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
/** Short, so that a test sees a lease run out. */
export const LEASE_MS = 3_000;

const integer = (minimum: number, maximum: number, value: number) => ({
  type: 'integer',
  minimum,
  maximum,
  default: value,
});

/** A recipe with two parameters, as a worker would describe its own. */
export const recipes = createRecipeCatalog([
  {
    name: 'counting',
    version: '1',
    title: 'Counts.',
    framework: 'tensorflow',
    pool: 'cpu',
    defaults: { epochs: 5, seed: 42 },
    params: {
      type: 'object',
      properties: { epochs: integer(1, 10, 5), seed: integer(0, 1_000, 42) },
      additionalProperties: false,
    },
    dataset: {
      generator: 'numbers',
      version: '1',
      defaults: { seed: 42 },
      params: {
        type: 'object',
        properties: { seed: integer(0, 1_000, 42) },
        additionalProperties: false,
      },
    },
  },
]);

/** The orchestrator without its HTTP side, on a Postgres database and a NATS server of its own. */
export type Harness = {
  nats: PrivateNats;
  database: Database;
  bus: Bus;
  jobs: JobService;
  pipelines: PipelineService;
  pipelineRows: PipelineRepository;
  outbox: ReturnType<typeof createOutbox>;
  call: (method: WorkerMethod, request: object) => Promise<never>;
  stop: () => Promise<void>;
};

export async function startHarness(): Promise<Harness> {
  const nats = await startNats();
  const testDatabase: TestDatabase = await createTestDatabase();
  await migrate({
    url: testDatabase.url,
    schema: 'training',
    folder: fileURLToPath(new URL('../migrations', import.meta.url)),
  });
  const database = createDatabase({ url: testDatabase.url, applicationName: 'orchestrator-test' });
  const bus = await connectBus({
    url: nats.servicesUrl,
    name: 'orchestrator-test',
    inboxPrefix: '_INBOX_services',
    logger: silent,
  });
  await ensureStreams(bus);
  const outbox = createOutbox(busTables, 'training-orchestrator');
  const relay = createOutboxRelay({ database, tables: busTables, bus, schema: 'training' });
  relay.start();
  const pipelineRows = createPipelineRepository(pipelineTable);
  const pipelines = createPipelineService({
    database,
    pipelines: pipelineRows,
    outbox,
    recipes,
    jobs: () => jobs,
  });
  const jobs: JobService = createJobService({
    service: 'training-orchestrator',
    kind: 'train',
    events: TrainingJobEvents,
    database,
    tables: jobTables,
    outbox,
    settings: { leaseMs: LEASE_MS, heartbeatMs: 300, maxAttempts: 3, reemitAfterMs: 500 },
    hooks: { onSucceeded: pipelines.onTrained, onFailed: pipelines.onTrainingEnded },
    hintCancel: cancelHint(bus),
  });
  const runtime: JobRuntime = await startJobRuntime({
    bus,
    database,
    busTables,
    jobs,
    events: TrainingJobEvents,
    pools: ['cpu', 'gpu'],
  });
  const consumers: Pull[] = startPipelineConsumers({ bus, database, tables: busTables, pipelines });
  return {
    nats,
    database,
    bus,
    jobs,
    pipelines,
    pipelineRows,
    outbox,
    call: async (method, request) =>
      (await callRpc(
        bus,
        'training-orchestrator',
        method,
        workerMethods[method] as RpcMethod,
        request as never,
      )) as never,
    async stop() {
      await Promise.all([...consumers.map((consumer) => consumer.stop()), runtime.stop()]);
      await relay.stop();
      await bus.close();
      await database.close();
      await testDatabase.drop();
      await nats.stop();
    },
  };
}
