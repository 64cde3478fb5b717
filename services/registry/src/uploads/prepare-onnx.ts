import { modelDigest } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { GRAPH_PATH } from '../registration/graph.ts';
import { inspectUntrusted } from '../registration/inspect.ts';
import { withServingGraph } from '../registration/pipeline-package.ts';
import { uploadProvenance } from '../registration/provenance.ts';
import type { ReadyRegistration } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import type { SpooledFile } from './spool.ts';
import type { Uploader } from './upload.service.ts';
import type { UploadRequest } from './upload-fields.ts';

/** Inspects, stores and signs an ONNX file. @throws AppError those of the graph */
export async function prepareOnnx(
  { storage, key }: { storage: Storage; key: SigningKey },
  request: UploadRequest,
  file: SpooledFile,
  by: Uploader,
): Promise<ReadyRegistration> {
  const graph = await inspectUntrusted(storage, file);
  const blob = await storage.putBlob(file);
  const uploaded = [{ path: GRAPH_PATH, ...blob }];
  const { files, servingFile } = withServingGraph(uploaded, GRAPH_PATH, graph);
  const digest = modelDigest({ weightsDigest: graph.weightsDigest, graphDigests: [graph.sha256] });
  const { modelId, inputSchema, outputSchema, metadata } = request;
  return {
    tenant: by.tenant,
    model: modelId,
    label: request.version,
    stage: request.stage,
    framework: 'onnx',
    modelDigest: digest,
    graph,
    servingFile,
    signed: await signPackage(key, {
      name: modelId,
      files,
      modelDigest: digest,
      provenance: uploadProvenance({
        by: by.id,
        requestId: by.requestId,
        files: [{ path: GRAPH_PATH, sha256: graph.sha256 }],
        receivedAt: new Date().toISOString(),
      }),
      meta: {
        framework: 'onnx',
        opsets: graph.opsets,
        irVersion: graph.irVersion,
        inputs: graph.inputs,
        outputs: graph.outputs,
        changes: graph.changes,
        inputSchema: inputSchema ?? null,
        outputSchema: outputSchema ?? null,
        metadata: metadata ?? null,
      },
    }),
    inputSchema,
    outputSchema,
    metadata,
    lineage: { source: 'upload', requestId: by.requestId, sha256: graph.sha256 },
    metrics: {},
    by: by.id,
    requestId: undefined,
  };
}
