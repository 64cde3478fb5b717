import type { ArtifactRef, IngestOptions, IngestSource, SourceIngestSpec } from '@millrace/contracts';
import { AppError, newId } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { JobService } from '@millrace/jobs';
import { specDigest } from '@millrace/jobs';
import type { DatasetRepository } from '../datasets/dataset.repository.ts';
import type { VersionRow } from '../datasets/dataset.table.ts';
import { presets } from './presets.ts';

/** What a user asks for: a source of its own, or a preset with whatever it changes of it. */
export type IngestRequest = { source?: IngestSource; preset?: string; options?: IngestOptions };

export type IngestServiceOptions = {
  database: Database;
  datasets: DatasetRepository;
  /** Looked up when needed: the job service's hooks point back at the versions. */
  jobs: () => JobService;
  /** Refuses a version for which the tenant has no room. */
  assertRoom: (tx: Executor, tenant: string) => Promise<void>;
};

export type IngestService = ReturnType<typeof createIngestService>;

/** The rules of ingestions: which request makes a job, and of what. */
export function createIngestService({ database, datasets, jobs, assertRoom }: IngestServiceOptions) {
  async function uploaded(tx: Executor, datasetId: string, versionId: string): Promise<ArtifactRef[]> {
    const found = await datasets.findVersion(tx, versionId);
    if (found === undefined || found.dataset.id !== datasetId) {
      throw new AppError(
        'dataset_version_not_found',
        `Dataset ${datasetId} has no version ${versionId} to read.`,
      );
    }
    if (found.version.state !== 'ready' || found.version.files === null)
      throw new AppError('dataset_not_ready', `The version is ${found.version.state}.`);
    return found.version.files;
  }

  return {
    /**
     * Starts an ingestion. One that asks for the same while it runs is that one; later, only uploaded files are known
     * to be the same, and every other source is read again.
     * @throws AppError `dataset_not_found`, `dataset_version_not_found`, `dataset_not_ready`, `invalid_request`
     */
    start(
      tenant: string,
      datasetId: string,
      request: IngestRequest,
    ): Promise<{ version: VersionRow; isReused: boolean }> {
      const { source, options } = resolve(request);
      return database.transaction(async (tx) => {
        const dataset = await datasets.find(tx, tenant, datasetId);
        if (dataset === undefined)
          throw new AppError('dataset_not_found', `There is no dataset ${datasetId}.`);
        await datasets.lock(tx, datasetId);
        const policy = { ...dataset.quality, ...options.quality };
        const whole: IngestOptions = { ...options, quality: policy };
        const files = source.type === 'upload' ? await uploaded(tx, datasetId, source.versionId) : [];
        const sourceSha256 = specDigest({ source, options: whole });
        const existing = await datasets.findBySource(tx, datasetId, sourceSha256);
        if (existing?.state === 'pending' || (existing !== undefined && source.type === 'upload'))
          return { version: existing, isReused: true };
        if (existing !== undefined) await datasets.retireSource(tx, existing.id);
        await assertRoom(tx, tenant);
        const [id, jobId] = [newId(), newId()];
        const version = await datasets.insertVersion(tx, {
          id,
          datasetId,
          source: { type: 'ingest', source, options: whole },
          sourceSha256,
          jobId,
        });
        const spec: SourceIngestSpec = { datasetId, versionId: id, tenant, source, options: whole, files };
        await jobs().create(tx, { id: jobId, pool: 'analysis', tenant, spec });
        return { version, isReused: false };
      });
    },
  };
}

function resolve(request: IngestRequest): { source: IngestSource; options: IngestOptions } {
  const preset = request.preset === undefined ? undefined : presets[request.preset];
  if (request.preset !== undefined && preset === undefined) {
    const known = Object.keys(presets).join(', ');
    throw new AppError('invalid_request', `There is no preset '${request.preset}'; there are ${known}.`);
  }
  const source = request.source ?? preset?.source;
  if (source === undefined) throw new AppError('invalid_request', 'Name a source or a preset.');
  const options = { ...preset?.options, ...request.options };
  const split = options.split;
  if (split !== undefined && split.validation + split.test >= 1)
    throw new AppError(
      'invalid_request',
      'The shares of validation and test must leave something to train on.',
    );
  return { source, options };
}
