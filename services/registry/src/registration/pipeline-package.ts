import type { ArtifactRef, EventData, PipelineRegistrationRequested } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { modelDigest } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { SERVING_PATH } from './graph.ts';
import type { InspectedGraph } from './inspect.ts';
import { inspectStored } from './inspect.ts';
import { pipelineConversion, pipelineProvenance } from './provenance.ts';
import type { ReadyRegistration } from './registration.service.ts';
import type { SigningKey } from './sign.ts';
import { signPackage } from './sign.ts';

/** Registrant of pipelines that were started before it was kept by whom. */
const BY_PIPELINE = 'pipeline';

type Request = EventData<typeof PipelineRegistrationRequested>;

/**
 * Reads every file of a pipeline's package from storage, checks it against its digest, inspects the graph and signs.
 * @throws AppError `artifact_corrupt`, `artifact_missing`, `manifest_mismatch`, `parity_failed`, and those of the graph
 */
export async function preparePipelinePackage(
  storage: Storage,
  key: SigningKey,
  request: Request,
  tenant: string,
): Promise<ReadyRegistration> {
  assertParity(request.conversionMeta);
  const onnx = graphFile(request.files);
  assertGraphDigests(request, onnx);
  for (const file of request.files) if (file !== onnx) await verifyBlob(storage, file);
  const graph = await inspectStored(storage, onnx);
  const { files, servingFile } = withServingGraph(request.files, onnx.path, graph);
  const digest = modelDigest({
    weightsDigest: request.weightsDigest,
    graphDigests: Object.values(request.graphDigests),
  });
  const signed = await signPackage(key, {
    name: request.model,
    files,
    modelDigest: digest,
    provenance: pipelineProvenance(request),
    conversion: pipelineConversion(request, onnx),
    meta: { training: request.trainingMeta, conversion: request.conversionMeta },
  });
  return {
    tenant,
    model: request.model,
    label: request.version,
    stage: 'development',
    framework: request.framework,
    modelDigest: digest,
    graph,
    servingFile,
    signed,
    inputSchema: undefined,
    outputSchema: undefined,
    metadata: undefined,
    lineage: lineageOf(request),
    metrics: { training: request.trainingMeta, conversion: request.conversionMeta },
    by: request.by ?? BY_PIPELINE,
    requestId: request.pipelineId,
  };
}

/** The files of the package with the graph that is served among them. */
export function withServingGraph(
  files: readonly ArtifactRef[],
  graphPath: string,
  { serving }: InspectedGraph,
): { files: readonly ArtifactRef[]; servingFile: string } {
  if (serving === undefined) return { files, servingFile: graphPath };
  return { files: [...files, { path: SERVING_PATH, ...serving }], servingFile: SERVING_PATH };
}

function graphFile(files: readonly ArtifactRef[]): ArtifactRef {
  const graphs = files.filter((file) => file.path.endsWith('.onnx') && file.path !== SERVING_PATH);
  const [only] = graphs;
  if (only !== undefined && graphs.length === 1) return only;
  throw new AppError(
    'not_onnx',
    `The package has ${graphs.length} files that end in .onnx; it needs exactly one.`,
  );
}

function assertGraphDigests(request: Request, onnx: ArtifactRef): void {
  const inPackage = new Set(request.files.map((file) => file.sha256));
  const digests = Object.entries(request.graphDigests);
  const foreign = digests.find(([, digest]) => !inPackage.has(digest));
  if (foreign !== undefined) {
    throw new AppError(
      'manifest_mismatch',
      `No file of the package has the graph digest named ${foreign[0]}.`,
    );
  }
  if (digests.some(([, digest]) => digest === onnx.sha256)) return;
  throw new AppError('manifest_mismatch', `The graph digests do not name ${onnx.path}.`);
}

/** A second look at what the converter measured: no model that failed parity gets in, whoever sent it. */
export function assertParity({ parity }: Readonly<Record<string, unknown>>): void {
  const { maxAbsDiff, tolerance } = (typeof parity === 'object' && parity !== null ? parity : {}) as {
    maxAbsDiff?: unknown;
    tolerance?: unknown;
  };
  if (typeof maxAbsDiff === 'number' && typeof tolerance === 'number' && maxAbsDiff <= tolerance) return;
  throw new AppError(
    'parity_failed',
    `The conversion shows no parity within its tolerance (largest difference ${String(maxAbsDiff)}, tolerance ${String(tolerance)}).`,
  );
}

/** Reads a stored file against its digest. @throws AppError `artifact_corrupt`, `artifact_missing`, `digest_mismatch` */
export async function verifyBlob(storage: Storage, file: ArtifactRef): Promise<void> {
  let sizeBytes = 0;
  for await (const chunk of await storage.getBlob(file.sha256)) sizeBytes += (chunk as Buffer).length;
  if (sizeBytes === file.sizeBytes) return;
  throw new AppError('digest_mismatch', `${file.path} has ${sizeBytes} bytes instead of ${file.sizeBytes}.`);
}

function lineageOf(request: Request): Readonly<Record<string, unknown>> {
  return {
    source: 'pipeline',
    pipelineId: request.pipelineId,
    trainingJobId: request.trainingJobId,
    conversionJobId: request.conversionJobId,
    dataset: request.dataset,
    recipe: request.recipe,
    params: request.params,
    weightsDigest: request.weightsDigest,
    graphDigests: request.graphDigests,
  };
}
