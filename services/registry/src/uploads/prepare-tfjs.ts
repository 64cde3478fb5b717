import type { ArtifactRef } from '@millrace/contracts';
import { modelDigest } from '@millrace/integrity';
import type { TensorSpec } from '@millrace/onnx';
import type { Storage } from '@millrace/storage';
import type { TfjsModel, TfjsTensor } from '@millrace/tfjs';
import { MODEL_JSON } from '@millrace/tfjs';
import { uploadProvenance } from '../registration/provenance.ts';
import type { ReadyRegistration } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import type { UploadFiles } from './archive/archive-files.ts';
import type { Uploader } from './upload.service.ts';
import type { UploadRequest } from './upload-fields.ts';
import { contentDigest } from './uploaded-model.ts';

/** Stores files by their digests and gives their refs. */
export async function storeFiles(storage: Storage, files: UploadFiles, folder = ''): Promise<ArtifactRef[]> {
  const refs: ArtifactRef[] = [];
  for (const [path, file] of files) {
    refs.push({ path: `${folder}${path}`, ...(await storage.putBlob(file)) });
  }
  return refs;
}

/** As far as the file tells: shapes of a layers model's outputs are known where it runs. */
export const toTensorSpec = ({ name, dtype, shape }: TfjsTensor): TensorSpec => ({
  name,
  dtype: dtype ?? 'float32',
  shape: shape ?? null,
  axisNames: null,
});

/** Stores and signs a TF.js model as it came: its package is model.json and its weight files. */
export async function prepareTfjs(
  { storage, key }: { storage: Storage; key: SigningKey },
  request: UploadRequest,
  { model, files }: { model: TfjsModel; files: UploadFiles },
  by: Uploader,
): Promise<ReadyRegistration> {
  const refs = await storeFiles(storage, files);
  const digest = modelDigest({ graphDigests: refs.map(({ sha256 }) => sha256) });
  const inputs = model.inputs.map(toTensorSpec);
  const outputs = model.outputs.map(toTensorSpec);
  const { modelId, inputSchema, outputSchema, metadata } = request;
  const sources = refs.map(({ path, sha256 }) => ({ path, sha256 }));
  return {
    tenant: by.tenant,
    model: modelId,
    label: request.version,
    stage: request.stage,
    framework: 'tensorflow',
    modelDigest: digest,
    graph: { sha256: contentDigest('tensorflow', files), inputs, outputs },
    servingFile: MODEL_JSON,
    signed: await signPackage(key, {
      name: modelId,
      files: refs,
      modelDigest: digest,
      provenance: uploadProvenance({
        by: by.id,
        requestId: by.requestId,
        files: sources,
        receivedAt: new Date().toISOString(),
      }),
      meta: {
        framework: 'tensorflow',
        format: model.format,
        operators: [...model.operators].sort(),
        inputs,
        outputs,
        inputSchema: inputSchema ?? null,
        outputSchema: outputSchema ?? null,
        metadata: metadata ?? null,
      },
    }),
    inputSchema,
    outputSchema,
    metadata,
    lineage: { source: 'upload', requestId: by.requestId, format: model.format, files: sources },
    metrics: {},
    by: by.id,
    requestId: undefined,
  };
}
