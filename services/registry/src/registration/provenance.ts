import type { EventData, PipelineRegistrationRequested } from '@millrace/contracts';
import type { EnsembleMember } from '@millrace/ensemble';
import type { Provenance, ResourceDescriptor } from '@millrace/integrity';

/** Kinds of builds that provenance names. */
export const BUILD_TYPE = {
  pipeline: 'urn:millrace:build:train-and-convert:v1',
  upload: 'urn:millrace:build:upload:v1',
  import: 'urn:millrace:build:upload-and-convert:v1',
  ensemble: 'urn:millrace:build:ensemble:v1',
} as const;

/** The platform as the builder: workers never hold the key that signs. */
const BUILDER_ID = 'urn:millrace:platform:v1';
const SHA256 = /^[0-9a-f]{64}$/;

/** How a pipeline made a model: data, recipe, parameters, environments, conversion. */
export function pipelineProvenance(
  request: EventData<typeof PipelineRegistrationRequested>,
): Omit<Provenance, 'subjects'> {
  const { dataset, trainingMeta, conversionMeta } = request;
  return {
    buildType: BUILD_TYPE.pipeline,
    externalParameters: { recipe: request.recipe, params: request.params },
    internalParameters: { trainingJobId: request.trainingJobId, conversionJobId: request.conversionJobId },
    resolvedDependencies: [
      {
        name: 'dataset',
        uri: `urn:millrace:dataset-version:${dataset.versionId}`,
        digest: { sha256: dataset.digest },
      },
      ...environment('training-environment', lockDigest(trainingMeta)),
      ...environment('conversion-environment', conversionMeta.environmentDigest),
    ],
    builderId: BUILDER_ID,
    invocationId: request.pipelineId,
    byproducts: [{ name: 'conversion-report', annotations: conversionMeta }],
  };
}

/** A file of an upload. */
export type SourceFile = { readonly path: string; readonly sha256: string };

const uploadedFiles = (files: readonly SourceFile[]): ResourceDescriptor[] =>
  files.map(({ path, sha256 }) => ({
    name: files.length === 1 ? 'uploaded-file' : `uploaded-file/${path}`,
    digest: { sha256 },
  }));

/** How an upload came in and was converted. */
export function importProvenance(from: {
  by: string;
  importId: string;
  conversionJobId: string;
  files: readonly SourceFile[];
  conversionMeta: Readonly<Record<string, unknown>>;
}): Omit<Provenance, 'subjects'> {
  return {
    buildType: BUILD_TYPE.import,
    externalParameters: { uploadedBy: from.by },
    internalParameters: { conversionJobId: from.conversionJobId },
    resolvedDependencies: [
      ...uploadedFiles(from.files),
      ...environment('conversion-environment', from.conversionMeta.environmentDigest),
    ],
    builderId: BUILDER_ID,
    invocationId: from.importId,
    byproducts: [{ name: 'conversion-report', annotations: from.conversionMeta }],
  };
}

/** How an upload came in. */
export function uploadProvenance(upload: {
  by: string;
  requestId: string;
  files: readonly SourceFile[];
  receivedAt: string;
}): Omit<Provenance, 'subjects'> {
  return {
    buildType: BUILD_TYPE.upload,
    externalParameters: { uploadedBy: upload.by },
    resolvedDependencies: uploadedFiles(upload.files),
    builderId: BUILDER_ID,
    invocationId: upload.requestId,
    finishedOn: upload.receivedAt,
  };
}

/** What an ensemble was put together from. */
export function ensembleProvenance(ensemble: {
  by: string;
  requestId: string;
  members: readonly EnsembleMember[];
}): Omit<Provenance, 'subjects'> {
  return {
    buildType: BUILD_TYPE.ensemble,
    externalParameters: { registeredBy: ensemble.by },
    resolvedDependencies: ensemble.members.map((member) => ({
      name: `${member.model}/${member.version}`,
      uri: `urn:millrace:model-version:${member.modelVersionId}`,
      digest: { sha256: member.packageDigest },
    })),
    builderId: BUILDER_ID,
    invocationId: ensemble.requestId,
  };
}

/** SHA-256 of the lock file that the trainer ran from, as its meta names it. */
function lockDigest(trainingMeta: Readonly<Record<string, unknown>>): unknown {
  const { environment: used } = trainingMeta;
  return typeof used === 'object' && used !== null && 'sha256' in used ? used.sha256 : undefined;
}

function environment(name: string, digest: unknown): ResourceDescriptor[] {
  return typeof digest === 'string' && SHA256.test(digest) ? [{ name, digest: { sha256: digest } }] : [];
}
