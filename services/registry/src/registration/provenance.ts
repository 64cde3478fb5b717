import type { EventData, PipelineRegistrationRequested } from '@millrace/contracts';
import type { EnsembleMember } from '@millrace/ensemble';
import type { Provenance, ResourceDescriptor, VerifiedBundle } from '@millrace/integrity';
import { CONVERSION_BUILD_TYPE, isSha256 } from '@millrace/integrity';
import type { Conversion } from './sign.ts';

/** Kinds of builds that provenance names. */
export const BUILD_TYPE = {
  pipeline: 'urn:millrace:build:train-and-convert:v1',
  upload: 'urn:millrace:build:upload:v1',
  import: 'urn:millrace:build:upload-and-convert:v1',
  ensemble: 'urn:millrace:build:ensemble:v1',
  mlflow: 'urn:millrace:build:mlflow:v1',
  bundle: 'urn:millrace:build:bundle:v1',
} as const;

/** The platform as the builder: workers never hold the key that signs. */
const BUILDER_ID = 'urn:millrace:platform:v1';
/** Folder of a package with the files that a conversion reads. */
const CONVERTED_FOLDER = 'saved_model/';

/** How a pipeline made a model: data, recipe, parameters, environments, conversion. */
export function pipelineProvenance(
  request: EventData<typeof PipelineRegistrationRequested>,
): Omit<Provenance, 'subjects'> {
  const { dataset, trainingMeta, conversionMeta } = request;
  return {
    buildType: BUILD_TYPE.pipeline,
    externalParameters: { recipe: request.recipe, params: request.params },
    internalParameters: {
      trainingJobId: request.trainingJobId,
      conversionJobId: request.conversionJobId,
      weightsDigest: request.weightsDigest,
      graphDigests: request.graphDigests,
      ...(isRecord(trainingMeta.machine) && { machine: trainingMeta.machine }),
      ...(isRecord(trainingMeta.framework) && { framework: trainingMeta.framework }),
    },
    resolvedDependencies: [
      {
        name: 'dataset',
        uri: `urn:millrace:dataset-version:${dataset.versionId}`,
        digest: { sha256: dataset.digest },
      },
      ...recipeCode(trainingMeta.recipe),
      ...environment('training-environment', digestOf(trainingMeta.environment)),
      ...environment('conversion-environment', conversionMeta.environmentDigest),
    ],
    builderId: BUILDER_ID,
    invocationId: request.pipelineId,
    ...instants(trainingMeta.startedAt, conversionMeta.finishedAt),
    byproducts: [{ name: 'conversion-report', annotations: conversionMeta }],
  };
}

/** What a pipeline's conversion made of the trained model. */
export function pipelineConversion(
  request: EventData<typeof PipelineRegistrationRequested>,
  made: SourceFile,
): Conversion {
  return conversion({
    made,
    jobId: request.conversionJobId,
    parameters: { pipelineId: request.pipelineId, trainingJobId: request.trainingJobId },
    meta: request.conversionMeta,
    sources: [
      { name: 'weights', digest: { sha256: request.weightsDigest } },
      ...Object.entries(request.graphDigests)
        .filter(([, sha256]) => sha256 !== made.sha256)
        .map(([name, sha256]) => ({ name, digest: { sha256 } })),
      ...request.files
        .filter(({ path }) => path.startsWith(CONVERTED_FOLDER))
        .map(({ path, sha256 }) => ({ name: path, digest: { sha256 } })),
    ],
  });
}

/** What an import's conversion made of the uploaded files. */
export function importConversion(from: Omit<ImportedFrom, 'by'>, made: SourceFile): Conversion {
  return conversion({
    made,
    jobId: from.conversionJobId,
    parameters: { importId: from.importId },
    meta: from.conversionMeta,
    sources: uploadedFiles(from.files),
  });
}

function conversion(of: {
  made: SourceFile;
  jobId: string;
  parameters: Readonly<Record<string, unknown>>;
  meta: Readonly<Record<string, unknown>>;
  sources: readonly ResourceDescriptor[];
}): Conversion {
  const { made, meta } = of;
  const chosen = ['format', 'sourceFormat', 'opset', 'tag', 'signature'] as const;
  return {
    made: { name: made.path, digest: { sha256: made.sha256 } },
    provenance: {
      buildType: CONVERSION_BUILD_TYPE,
      externalParameters: {
        ...Object.fromEntries(
          chosen.flatMap((name) => (meta[name] === undefined ? [] : [[name, meta[name]]])),
        ),
        ...(isRecord(meta.quantization) && { quantization: meta.quantization.mode }),
      },
      internalParameters: {
        ...of.parameters,
        ...(meta.tools !== undefined && { tools: meta.tools }),
        ...(meta.strippedLayers !== undefined && { strippedLayers: meta.strippedLayers }),
      },
      resolvedDependencies: [...of.sources, ...environment('conversion-environment', meta.environmentDigest)],
      builderId: BUILDER_ID,
      invocationId: of.jobId,
      ...instants(meta.startedAt, meta.finishedAt),
      byproducts: isRecord(meta.parity) ? [{ name: 'parity', annotations: meta.parity }] : [],
    },
  };
}

/** A file of an upload. */
export type SourceFile = { readonly path: string; readonly sha256: string };

const uploadedFiles = (files: readonly SourceFile[]): ResourceDescriptor[] =>
  files.map(({ path, sha256 }) => ({
    name: files.length === 1 ? 'uploaded-file' : `uploaded-file/${path}`,
    digest: { sha256 },
  }));

/** An upload and the conversion of it. */
export type ImportedFrom = {
  readonly by: string;
  readonly importId: string;
  readonly conversionJobId: string;
  readonly files: readonly SourceFile[];
  readonly conversionMeta: Readonly<Record<string, unknown>>;
};

/** How an upload came in and was converted. */
export function importProvenance(from: ImportedFrom): Omit<Provenance, 'subjects'> {
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

/** Which run or logged model of MLflow a package was taken from. */
export function mlflowProvenance(from: {
  by: string;
  registrationId: string;
  source: string;
  runId: string;
  loggedModelId: string;
}): Omit<Provenance, 'subjects'> {
  return {
    buildType: BUILD_TYPE.mlflow,
    externalParameters: {
      registeredBy: from.by,
      source: from.source,
      runId: from.runId,
      loggedModelId: from.loggedModelId,
    },
    resolvedDependencies: [],
    builderId: BUILDER_ID,
    invocationId: from.registrationId,
  };
}

/** Which version of another registry a bundle brought, who had signed it, and the statements that came with it. */
export function bundleProvenance(from: {
  by: string;
  requestId: string;
  bundle: VerifiedBundle;
  statements: readonly SourceFile[];
}): Omit<Provenance, 'subjects'> {
  const { model, version, packageDigest, keyId, certificate, history } = from.bundle;
  return {
    buildType: BUILD_TYPE.bundle,
    externalParameters: { importedBy: from.by, model, version },
    internalParameters: {
      keyId,
      ...(certificate !== undefined && { certificate }),
      historyHead: history.head,
    },
    resolvedDependencies: [
      {
        name: 'package',
        uri: `urn:millrace:model-version:${history.modelVersionId}`,
        digest: { sha256: packageDigest },
      },
      ...from.statements.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } })),
    ],
    builderId: BUILDER_ID,
    invocationId: from.requestId,
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

/** The recipe by name and version, with the SHA-256 of the code that ran. */
function recipeCode(recipe: unknown): ResourceDescriptor[] {
  const digest = digestOf(recipe);
  if (!isRecord(recipe) || !isSha256(digest)) return [];
  const uri = `urn:millrace:recipe:${String(recipe.name)}@${String(recipe.version)}`;
  return [{ name: 'recipe', uri, digest: { sha256: digest } }];
}

/** `sha256` of a part of what a worker reports. */
const digestOf = (part: unknown): unknown => (isRecord(part) ? part.sha256 : undefined);

/** Begin and end of a build, as far as the workers told them. */
function instants(startedOn: unknown, finishedOn: unknown): Pick<Provenance, 'startedOn' | 'finishedOn'> {
  return {
    ...(typeof startedOn === 'string' && { startedOn }),
    ...(typeof finishedOn === 'string' && { finishedOn }),
  };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function environment(name: string, digest: unknown): ResourceDescriptor[] {
  return isSha256(digest) ? [{ name, digest: { sha256: digest } }] : [];
}
