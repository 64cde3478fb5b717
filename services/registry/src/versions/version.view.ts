import { ArtifactRef, JsonObject, Sha256, Stage, Uuid } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { FoundVersion } from './version.service.ts';
import type { VersionRow } from './version.table.ts';

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

const Tensor = Type.Object({
  name: Type.String(),
  dtype: Type.String(),
  shape: Nullable(Type.Array(Nullable(Type.Integer()))),
});

/** A version in a list. */
export const VersionSummary = Type.Object({
  id: Uuid,
  version: Type.String(),
  ordinal: Type.Integer(),
  stage: Stage,
  framework: Type.String(),
  packageDigest: Sha256,
  modelDigest: Sha256,
  description: Type.String(),
  tags: Type.Record(Type.String(), Type.String()),
  createdBy: Type.String(),
  createdAt: Type.String(),
  updatedAt: Type.String(),
});
export type VersionSummary = Static<typeof VersionSummary>;

/** Everything that is known of a version. */
export const VersionDetail = Type.Object({
  ...VersionSummary.properties,
  modelId: Uuid,
  model: Type.String(),
  rootDigest: Sha256,
  keyId: Sha256,
  signature: JsonObject,
  files: Type.Array(ArtifactRef),
  servingFile: Type.String(),
  inputs: Type.Array(Tensor),
  outputs: Type.Array(Tensor),
  inputSchema: Nullable(Type.String()),
  outputSchema: Nullable(Type.String()),
  metadata: Nullable(Type.String()),
  lineage: JsonObject,
  metrics: JsonObject,
});
export type VersionDetail = Static<typeof VersionDetail>;

/** A row as a list shows it. */
export function toVersionSummary(row: VersionRow): VersionSummary {
  return {
    id: row.id,
    version: row.label,
    ordinal: row.ordinal,
    stage: row.stage,
    framework: row.framework,
    packageDigest: row.packageDigest,
    modelDigest: row.modelDigest,
    description: row.description,
    tags: { ...row.tags },
    createdBy: row.createdBy,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

/** A version as its own page shows it. */
export function toVersionDetail({ model, version, package: pack }: FoundVersion): VersionDetail {
  const tensors = (list: VersionRow['inputs']) =>
    list.map(({ name, dtype, shape }) => ({ name, dtype, shape: shape === null ? null : [...shape] }));
  return {
    ...toVersionSummary(version),
    modelId: model.id,
    model: model.name,
    rootDigest: pack.rootDigest,
    keyId: pack.keyId,
    signature: pack.signature as unknown as Record<string, unknown>,
    files: [...pack.manifest.files],
    servingFile: version.servingFile,
    inputs: tensors(version.inputs),
    outputs: tensors(version.outputs),
    inputSchema: version.inputSchema,
    outputSchema: version.outputSchema,
    metadata: version.metadata,
    lineage: { ...version.lineage },
    metrics: { ...version.metrics },
  };
}
