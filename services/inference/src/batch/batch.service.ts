import type { JobState, ResolvedVersion, ResolveVersionRequest } from '@millrace/contracts';
import { AppError, isTerminal, newId } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { lockName } from '@millrace/database';
import { specDigest } from '@millrace/jobs';
import type { QuotaOf } from '@millrace/service-kit';
import { assertQuota, decodeCursor, encodeCursor, toPage } from '@millrace/service-kit';
import type { BlobRef, Storage } from '@millrace/storage';
import { blobKey } from '@millrace/storage';
import Type from 'typebox';
import { assertServable } from '../packages/verify-package.ts';
import type { BatchRepository } from './batch.repository.ts';
import type { BatchJobRow } from './batch.table.ts';
import type { BatchJobView, BatchResults } from './batch.view.ts';
import { toBatchJobView } from './batch.view.ts';
import type { BatchJobBody } from './batch-request.ts';
import type { SourceDeps } from './batch-sources.ts';
import { findSources } from './batch-sources.ts';
import type { BatchSource, BatchSpec } from './batch-spec.ts';
import type { BatchTasks } from './batch-tasks.ts';

/** Jobs of one tenant that have not ended. */
const OPEN_JOBS_MAX = 100;

const ListCursor = Type.Object({ createdAt: Type.String(), id: Type.String() });
const PartCursor = Type.Object({ after: Type.Integer() });

/** Who asks: jobs of other tenants are not there for them. */
export type BatchCaller = { tenant: string; principal: string };
export type Paging = { limit: number; cursor?: string };

/** What can be done with batch jobs; every call travels as JSON between the processes of a server. */
export type BatchCalls = {
  batchCreate: {
    params: BatchCaller & { body: BatchJobBody; idempotencyKey?: string };
    result: BatchJobView;
  };
  batchList: {
    params: BatchCaller & Paging & { state?: JobState };
    result: { items: BatchJobView[]; nextCursor: string | null };
  };
  batchGet: { params: BatchCaller & { jobId: string }; result: BatchJobView };
  batchCancel: { params: BatchCaller & { jobId: string }; result: BatchJobView };
  batchResults: { params: BatchCaller & Paging & { jobId: string }; result: BatchResults };
};
export type BatchService = {
  [K in keyof BatchCalls]: (params: BatchCalls[K]['params']) => Promise<BatchCalls[K]['result']>;
};

export type BatchServiceDeps = SourceDeps & {
  database: Database;
  storage: Pick<Storage, 'listObjects' | 'presignGet'>;
  repository: BatchRepository;
  tasks: BatchTasks;
  /** Bounds of tenants. */
  quotaOf?: QuotaOf;
  resolveVersion: (request: ResolveVersionRequest) => Promise<ResolvedVersion>;
};

function assertConsistent(body: BatchJobBody, format: BatchSpec['format']): void {
  if (format === 'npy' && body.columns !== undefined)
    throw new AppError('invalid_request', 'A .npy file has no columns; leave `columns` out.');
  if (format !== 'csv' && body.csv !== undefined)
    throw new AppError('invalid_request', `The input is ${format}; leave \`csv\` out.`);
}

function specOf(body: BatchJobBody, version: ResolvedVersion, format: BatchSpec['format']): BatchSpec {
  const { header = true, delimiter = ',' } = body.csv ?? {};
  return {
    model: version.model,
    version: version.version,
    modelVersionId: version.modelVersionId,
    packageDigest: version.packageDigest,
    input: body.input,
    format,
    csv: { header, delimiter: String(delimiter) },
    columns: body.columns ?? null,
    output: { format: body.output?.format ?? 'jsonl', names: body.output?.names ?? null },
    chunkRows: body.chunkRows,
    onRowError: body.onRowError,
  };
}

/** The rules of batch jobs: what they read and which version they run is decided once, when they are created. */
export function createBatchService(deps: BatchServiceDeps): BatchService {
  const { database, repository, storage, tasks } = deps;

  async function jobOf({ tenant, jobId }: BatchCaller & { jobId: string }): Promise<BatchJobRow> {
    const job = await repository.findOf(database.db, tenant, jobId);
    if (job === undefined) throw new AppError('job_not_found', `There is no batch job ${jobId}.`);
    return job;
  }

  /** The job that was created with this key before; throws when its body was another. */
  async function repeated(
    db: Executor,
    tenant: string,
    key: string | undefined,
    bodySha256: string,
  ): Promise<BatchJobRow | undefined> {
    const job = key === undefined ? undefined : await repository.findByKey(db, tenant, key);
    if (job === undefined || job.bodySha256 === bodySha256) return job;
    throw new AppError(
      'idempotency_mismatch',
      'This Idempotency-Key was used with another body; send a new key.',
    );
  }

  async function insert(tx: Executor, row: Parameters<BatchRepository['insert']>[1]): Promise<BatchJobRow> {
    const { tenant, idempotencyKey, bodySha256 } = row;
    if ((await repository.countOpen(tx, tenant)) >= OPEN_JOBS_MAX) {
      throw new AppError(
        'rate_limited',
        `There are ${OPEN_JOBS_MAX} batch jobs that have not ended; wait for one of them.`,
      );
    }
    const job = await repository.insert(tx, row);
    if (job !== undefined) {
      await assertQuota(deps.quotaOf?.(tenant) ?? {}, 'openJobs', 1, async () => {
        await lockName(tx, `quota:batch:${tenant}`);
        return (await repository.countOpen(tx, tenant)) - 1;
      });
      await tasks.begin(tx, job.id);
      return job;
    }
    // another request with this key was faster
    const other = await repeated(tx, tenant, idempotencyKey ?? undefined, bodySha256);
    if (other === undefined) throw new AppError('internal', 'A batch job was refused without a reason.');
    return other;
  }

  const urlOf = (sha256: string, fileName: string): Promise<string> =>
    storage.presignGet(blobKey(sha256), { fileName });

  const shown = async <T extends BlobRef>(object: T, fileName: string): Promise<T & { url: string }> => ({
    ...object,
    url: await urlOf(object.sha256, fileName),
  });

  return {
    async batchCreate({ tenant, principal, body, idempotencyKey }) {
      const bodySha256 = specDigest(body);
      const before = await repeated(database.db, tenant, idempotencyKey, bodySha256);
      if (before !== undefined) return toBatchJobView(before);
      const { model, version: label } = body;
      const version = await deps.resolveVersion({
        tenant,
        model,
        ...(label !== undefined && { version: label }),
      });
      assertServable(version);
      const { format, sources } = await findSources(deps, tenant, body);
      assertConsistent(body, format);
      const row = {
        id: newId(),
        tenant,
        createdBy: principal,
        spec: specOf(body, version, format),
        sources: sources satisfies BatchSource[],
        bodySha256,
        idempotencyKey: idempotencyKey ?? null,
      };
      return toBatchJobView(await database.transaction((tx) => insert(tx, row)));
    },

    async batchList({ tenant, limit, cursor, state }) {
      const after = decodeCursor(ListCursor, cursor);
      const rows = await repository.list(database.db, tenant, {
        limit: limit + 1,
        ...(state !== undefined && { state }),
        ...(after !== undefined && { after: { createdAt: new Date(after.createdAt), id: after.id } }),
      });
      return toPage(
        rows,
        limit,
        (row) => ({ createdAt: row.createdAt.toISOString(), id: row.id }),
        toBatchJobView,
      );
    },

    batchGet: async (params) => toBatchJobView(await jobOf(params)),

    async batchCancel(params) {
      const { id, state } = await jobOf(params);
      if (state === 'cancelled') return toBatchJobView(await jobOf(params));
      const error = { code: 'job_cancelled', message: 'The job was cancelled.' };
      // what is being predicted is no longer taken: its fence has lost its job
      const ended = await database.transaction((tx) =>
        repository.finish(tx, id, { state: 'cancelled', error }),
      );
      if (ended !== undefined) return toBatchJobView(ended);
      const now = await jobOf(params);
      if (now.state === 'cancelled') return toBatchJobView(now);
      throw new AppError('job_not_cancellable', `The job has already ${now.state}.`);
    },

    async batchResults({ limit, cursor, ...params }) {
      const { id, state, spec, result } = await jobOf(params);
      if (result === null) {
        const why = isTerminal(state) ? `it ${state}` : `it is ${state}`;
        throw new AppError('batch_not_finished', `Batch job ${id} has no results: ${why}.`);
      }
      const { format } = spec.output;
      const after = decodeCursor(PartCursor, cursor)?.after ?? -1;
      const found = await repository.parts(database.db, id, { after, limit: limit + 1 });
      const page = found.slice(0, limit);
      const items = page.map(async ({ position, input, result: made }) => {
        if (input === null || made === null) throw new AppError('internal', 'A part has no result.');
        return {
          ...(await shown({ ...made.part, rows: made.rows }, `${id}-${position}.${format}`)),
          index: position,
          firstRow: input.firstRow,
          inputRows: input.rows,
          skipped: made.skipped,
        };
      });
      return {
        format,
        manifest: await shown(result.manifest, `${id}-manifest.json`),
        result: result.result && (await shown(result.result, `${id}.${format}`)),
        errors: result.errors && (await shown(result.errors, `${id}-errors.jsonl`)),
        items: await Promise.all(items),
        nextCursor: found.length > limit ? encodeCursor({ after: page.at(-1)?.position }) : null,
      };
    },
  };
}
