import {
  ArtifactRef,
  JsonObject,
  QualityPolicy,
  Sha256,
  Timestamp,
  Uuid,
  WireError,
} from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { DatasetRow, VersionRow } from './dataset.table.ts';

export const DatasetView = Type.Object({
  id: Uuid,
  name: Type.String(),
  description: Type.String(),
  quality: QualityPolicy,
  createdAt: Timestamp,
});
export type DatasetView = Static<typeof DatasetView>;

export const DatasetVersionView = Type.Object({
  id: Uuid,
  datasetId: Uuid,
  ordinal: Type.Integer({ minimum: 1 }),
  state: Type.Union([Type.Literal('pending'), Type.Literal('ready'), Type.Literal('failed')]),
  source: JsonObject,
  digest: Type.Union([Sha256, Type.Null()]),
  files: Type.Array(ArtifactRef),
  sizeBytes: Type.Union([Type.Integer(), Type.Null()]),
  meta: Type.Union([JsonObject, Type.Null()]),
  jobId: Type.Union([Uuid, Type.Null()]),
  error: Type.Union([WireError, Type.Null()]),
  createdAt: Timestamp,
  readyAt: Type.Union([Timestamp, Type.Null()]),
});
export type DatasetVersionView = Static<typeof DatasetVersionView>;

export function toDatasetView(row: DatasetRow): DatasetView {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    quality: row.quality,
    createdAt: row.createdAt.toISOString(),
  };
}

export function toVersionView(row: VersionRow): DatasetVersionView {
  return {
    id: row.id,
    datasetId: row.datasetId,
    ordinal: row.ordinal,
    state: row.state,
    source: row.source,
    digest: row.digest,
    files: row.files ?? [],
    sizeBytes: row.sizeBytes,
    meta: row.meta,
    jobId: row.jobId,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    readyAt: row.readyAt?.toISOString() ?? null,
  };
}
