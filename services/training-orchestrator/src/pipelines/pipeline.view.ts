import { JsonObject, Timestamp, Uuid, WireError, WorkerPool } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { PipelineRow } from './pipeline.table.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

/** A pipeline as it is shown. `times` holds when each stage ended. */
export const PipelineView = Type.Object({
  id: Uuid,
  state: Type.Union([
    Type.Literal('running'),
    Type.Literal('succeeded'),
    Type.Literal('failed'),
    Type.Literal('cancelled'),
  ]),
  stage: Type.Union([
    Type.Literal('dataset'),
    Type.Literal('train'),
    Type.Literal('convert'),
    Type.Literal('register'),
    Type.Literal('load'),
    Type.Literal('done'),
  ]),
  recipe: Type.String(),
  params: JsonObject,
  pool: WorkerPool,
  model: Type.String(),
  dataset: nullable(
    Type.Object({ datasetId: Uuid, versionId: Uuid, digest: Type.String(), isReused: Type.Boolean() }),
  ),
  trainingJobId: nullable(Uuid),
  conversionJobId: nullable(Uuid),
  modelVersion: nullable(
    Type.Object({ id: Uuid, version: Type.String(), ordinal: Type.Integer(), isReused: Type.Boolean() }),
  ),
  times: Type.Record(Type.String(), Timestamp),
  error: nullable(WireError),
  createdAt: Timestamp,
  finishedAt: nullable(Timestamp),
});
export type PipelineView = Static<typeof PipelineView>;

export function toPipelineView(row: PipelineRow): PipelineView {
  const { dataset, modelVersionId, modelVersion, modelVersionOrdinal } = row;
  return {
    id: row.id,
    state: row.state,
    stage: row.stage,
    recipe: row.request.recipe,
    params: row.request.params,
    pool: row.request.pool,
    model: row.request.model,
    dataset:
      dataset === null
        ? null
        : {
            datasetId: dataset.datasetId,
            versionId: dataset.versionId,
            digest: dataset.digest,
            isReused: row.isDatasetReused,
          },
    trainingJobId: row.trainingJobId,
    conversionJobId: row.conversionJobId,
    modelVersion:
      modelVersionId === null || modelVersion === null || modelVersionOrdinal === null
        ? null
        : {
            id: modelVersionId,
            version: modelVersion,
            ordinal: modelVersionOrdinal,
            isReused: row.isVersionReused,
          },
    times: row.times,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    finishedAt: row.finishedAt?.toISOString() ?? null,
  };
}
