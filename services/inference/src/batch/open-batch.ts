import { join } from 'node:path';
import { callRpc } from '@millrace/bus';
import { DatasetInput, resolveVersionMethod, Uuid } from '@millrace/contracts';
import type { Logger, Platform } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import Type from 'typebox';
import { batchTables } from '../schema.ts';
import { createBatchRepository } from './batch.repository.ts';
import type { BatchService } from './batch.service.ts';
import { createBatchService } from './batch.service.ts';
import { startBatchRunner } from './batch-runner.ts';
import { createBatchTasks } from './batch-tasks.ts';
import type { RunChunk } from './chunk/chunk-order.ts';

const resolveDatasetMethod = {
  request: Type.Object({ tenant: Type.String(), versionId: Uuid }),
  reply: DatasetInput,
};

/** Batch jobs of the process that owns the database. */
export type Batch = {
  readonly service: BatchService;
  /** Jobs of a tenant that have not ended. */
  countOpen(tenant: string): Promise<number>;
  /** Takes tasks, at most `tasksMax` at once, and has chunks predicted by `runChunk`. */
  start(runChunk: RunChunk, tasksMax: number): Promise<{ stop(): Promise<void> }>;
};

export function openBatch(
  { database, outbox, bus, auth }: Platform,
  deps: { storage: Storage; logger: Logger; cacheDir: string },
): Batch {
  const { storage, logger } = deps;
  const repository = createBatchRepository(batchTables);
  const tasks = createBatchTasks({ database, outbox, repository });
  const service = createBatchService({
    database,
    storage,
    repository,
    tasks,
    quotaOf: auth.quotaOf,
    resolveVersion: (request) => callRpc(bus, 'registry', 'resolve', resolveVersionMethod, request),
    resolveDataset: (request) => callRpc(bus, 'datasets', 'resolve', resolveDatasetMethod, request),
  });
  return {
    service,
    countOpen: (tenant) => repository.countOpen(database.db, tenant),
    start: (runChunk, tasksMax) =>
      startBatchRunner({
        bus,
        logger,
        database,
        storage,
        repository,
        tasks,
        runChunk,
        folder: join(deps.cacheDir, 'batch'),
        tasksMax,
      }),
  };
}
