import { setTimeout as sleep } from 'node:timers/promises';
import type { ArtifactRef, IngestOptions, IngestSource, QualityPolicy, WireError } from '@millrace/contracts';
import type { DatasetView, Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

const POLL_MS = 400;

/** A version of a dataset: its files, once it is ready; the reason, if it failed. */
export type DatasetVersion = {
  id: string;
  datasetId: string;
  ordinal: number;
  state: 'pending' | 'ready' | 'failed';
  source: Record<string, unknown>;
  digest: string | null;
  files: ArtifactRef[];
  sizeBytes: number | null;
  meta: Record<string, unknown> | null;
  jobId: string | null;
  error: WireError | null;
  createdAt: string;
  readyAt: string | null;
};

/** Data that others made: a source or a preset, and what is made of it. */
export type IngestRequest = { source?: IngestSource; preset?: string; options?: IngestOptions };

/** What an ingestion found: counts, statistics of the columns, and findings with their rows. */
export type QualityReport = {
  verdict: 'accepted' | 'rejected';
  rows: { read: number; kept: number; dropped: number };
  target: string | null;
  columns: Record<string, unknown>[];
  classes: Record<string, number> | null;
  findings: {
    check: string;
    column: string | null;
    action: 'reject' | 'drop' | 'warn';
    message: string;
    count: number;
    rows: { file: string; row: number; value?: string }[];
  }[];
};

/** A public source that the platform knows how to read. */
export type DatasetPreset = { name: string; doc: string; source: IngestSource; options: IngestOptions };

/** A training that used a version. */
export type VersionTraining = {
  jobId: string;
  recipe: string;
  state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  createdAt: string;
};

/** Datasets, their versions, ingestions and quality reports. */
export function createDatasetsClient({ call }: Transport) {
  const one = (id: string) => `/v1/datasets/${encodeURIComponent(id)}`;
  const versionOf = (id: string, versionId: string) => `${one(id)}/versions/${encodeURIComponent(versionId)}`;
  return {
    list: async (query: PageQuery = {}) => await call<Page<DatasetView>>('GET', '/v1/datasets', { query }),
    get: async (id: string) => await call<DatasetView>('GET', one(id)),
    create: async (dataset: { name: string; description?: string }) =>
      await call<DatasetView>('POST', '/v1/datasets', { body: dataset }),
    /** What is done about findings of ingestions that say nothing else. */
    setQualityPolicy: async (id: string, policy: QualityPolicy) =>
      await call<DatasetView>('PUT', `${one(id)}/quality-policy`, { body: policy }),
    presets: async () => (await call<{ items: DatasetPreset[] }>('GET', '/v1/datasets/presets')).items,
    /** Uploads files as a version of their own; equal files give the version there is. */
    upload: async (id: string, files: readonly { path: string; content: Blob }[]) => {
      const form = new FormData();
      for (const { path, content } of files) form.append('file', content, path);
      return await call<DatasetVersion>('POST', `${one(id)}/files`, { body: form });
    },
    ingest: async (id: string, request: IngestRequest) =>
      await call<DatasetVersion>('POST', `${one(id)}/ingest`, { body: request }),
    versions: async (id: string, query: PageQuery = {}) =>
      await call<Page<DatasetVersion>>('GET', `${one(id)}/versions`, { query }),
    version: async (id: string, versionId: string) =>
      await call<DatasetVersion>('GET', versionOf(id, versionId)),
    /** The version once it is ready or failed. */
    async settled(id: string, versionId: string, options: { signal?: AbortSignal } = {}) {
      for (;;) {
        const version = await call<DatasetVersion>('GET', versionOf(id, versionId));
        if (version.state !== 'pending') return version;
        await sleep(POLL_MS, undefined, options);
      }
    },
    schema: async (id: string, versionId: string) =>
      await call<Record<string, unknown>>('GET', `${versionOf(id, versionId)}/schema`),
    quality: async (id: string, versionId: string) =>
      await call<QualityReport>('GET', `${versionOf(id, versionId)}/quality`),
    trainings: async (id: string, versionId: string) =>
      (await call<{ items: VersionTraining[] }>('GET', `${versionOf(id, versionId)}/trainings`)).items,
    /** An address for each file that needs no key and ends soon. */
    downloads: async (id: string, versionId: string) =>
      (
        await call<{ files: { path: string; sha256: string; url: string }[] }>(
          'GET',
          `${versionOf(id, versionId)}/downloads`,
        )
      ).files,
  };
}
