import type { ArtifactRef } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';
import { canonicalJson, createManifest, modelDigest, sha256Hex } from '@millrace/integrity';
import { defaultOnnxLimits } from '@millrace/onnx';
import type { Storage } from '@millrace/storage';
import { SERVING_PATH } from '../registration/graph.ts';
import type { InspectedGraph } from '../registration/inspect.ts';
import { inspectStored } from '../registration/inspect.ts';
import { withServingGraph } from '../registration/pipeline-package.ts';
import { mlflowProvenance } from '../registration/provenance.ts';
import type { ReadyRegistration } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import { NOT_SERVABLE } from '../versions/version.repository.ts';
import type { ModelFiles } from './model-files.ts';
import type { ModelRegistrationRow } from './model-registration.table.ts';

const MLMODEL = 'MLmodel';
const MLMODEL_BYTES_MAX = 1024 * 1024;
/** Names of files with pickles that history and statements tell. */
const PICKLES_SHOWN_MAX = 100;

/** The graph to serve, or why there is none. */
type Servable = { readonly onnx: ArtifactRef; readonly graph: InspectedGraph } | { readonly why: string };

/** The flavour that a model was logged as: the first in MLmodel that is not the general one. */
async function flavourOf(storage: Storage, files: readonly ArtifactRef[]): Promise<string> {
  const file = files.find(({ path }) => path === MLMODEL);
  if (file === undefined || file.sizeBytes > MLMODEL_BYTES_MAX) return 'files';
  const text = (await storage.getBlobBuffer(file.sha256)).toString('utf8');
  const block = /^flavors:\r?\n((?:[ \t].*\r?\n?|\r?\n)*)/m.exec(text)?.[1] ?? '';
  const names = [...block.matchAll(/^ {2}([a-z][a-z0-9_]*):/gm)].map(([, name]) => name as string);
  return names.find((name) => name !== 'python_function') ?? names[0] ?? 'files';
}

async function servableOf(storage: Storage, files: readonly ArtifactRef[]): Promise<Servable> {
  const graphs = files.filter(({ path }) => path.endsWith('.onnx') && path !== SERVING_PATH);
  const [onnx] = graphs;
  if (onnx === undefined) return { why: 'It has no .onnx file.' };
  if (graphs.length > 1) return { why: `It has ${graphs.length} .onnx files; one can be served.` };
  if (onnx.sizeBytes > defaultOnnxLimits.modelBytesMax)
    return { why: `Its graph is over ${defaultOnnxLimits.modelBytesMax} bytes.` };
  try {
    return {
      onnx,
      graph: await inspectStored(storage, onnx),
    };
  } catch (error) {
    if (!isAppError(error) || error.retryable) throw error;
    return { why: `${error.code}: ${error.message}` };
  }
}

/**
 * Signs everything that lies in the folder of a model. One ONNX graph in it makes the version servable; any other model
 * is kept and signed as bytes that nothing here loads.
 * @throws AppError `invalid_artifact_path` and those of storage
 */
export async function prepareModel(
  { storage, key }: { storage: Storage; key: SigningKey },
  row: ModelRegistrationRow,
  about: { tenant: string; model: string },
  { files: all, pickles }: ModelFiles,
): Promise<ReadyRegistration> {
  const { files: taken } = createManifest(all);
  const flavour = await flavourOf(storage, taken);
  const servable = await servableOf(storage, taken);
  const listDigest = sha256Hex(canonicalJson(taken.map(({ path, sha256 }) => [path, sha256])));
  const isServable = 'graph' in servable;
  const shown = pickles.slice(0, PICKLES_SHOWN_MAX);
  const { files, servingFile } = isServable
    ? withServingGraph(taken, servable.onnx.path, servable.graph)
    : { files: taken, servingFile: NOT_SERVABLE };
  const digest = isServable
    ? modelDigest({
        weightsDigest: servable.graph.weightsDigest,
        graphDigests: [servable.graph.sha256],
      })
    : modelDigest({ graphDigests: [listDigest] });
  const from = { source: row.source, runId: row.runId, loggedModelId: row.loggedModelId };
  return {
    tenant: about.tenant,
    model: about.model,
    label: String(row.ordinal),
    stage: 'development',
    framework: isServable ? 'onnx' : flavour,
    modelDigest: digest,
    graph: isServable ? servable.graph : { sha256: listDigest, inputs: [], outputs: [] },
    servingFile,
    signed: await signPackage(key, {
      name: about.model,
      files,
      modelDigest: digest,
      provenance: mlflowProvenance({ by: row.createdBy, registrationId: row.id, ...from }),
      meta: { flavour, pickles: shown, servable: isServable ? true : servable.why },
    }),
    inputSchema: undefined,
    outputSchema: undefined,
    metadata: undefined,
    lineage: {
      source: 'mlflow',
      uri: row.source,
      runId: row.runId,
      loggedModelId: row.loggedModelId,
      flavour,
      pickles: shown,
      ...(!isServable && { notServable: servable.why }),
    },
    metrics: {},
    by: row.createdBy,
    requestId: undefined,
  };
}
