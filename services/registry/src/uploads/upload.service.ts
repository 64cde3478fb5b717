import { AppError, isAppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { modelDigest } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { GRAPH_PATH } from '../registration/graph.ts';
import { inspectUntrusted } from '../registration/inspect.ts';
import { withServingGraph } from '../registration/pipeline-package.ts';
import { uploadProvenance } from '../registration/provenance.ts';
import type {
  ReadyRegistration,
  Registered,
  RegistrationService,
} from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import type { VersionService } from '../versions/version.service.ts';
import type { SpooledFile } from './spool.ts';
import type { UploadRequest } from './upload-fields.ts';
import type { WorkLimit } from './work-limit.ts';

/** Who uploads, for the log and the provenance. */
export type Uploader = { readonly tenant: string; readonly id: string; readonly requestId: string };

export type UploadServiceOptions = {
  database: Database;
  storage: Storage;
  key: SigningKey;
  registrations: RegistrationService;
  versions: VersionService;
  /** Bounds how many models are in memory at once. */
  limit: WorkLimit;
  /** Has inference verify, load and warm the version; throws what inference answers. */
  warmUp: (modelVersionId: string) => Promise<unknown>;
  logger: { warn(fields: object, message: string): void };
};

export type UploadService = ReturnType<typeof createUploadService>;

/** Takes an uploaded model in: check, inspect, store, sign, register, warm up. */
export function createUploadService(options: UploadServiceOptions) {
  const { database, storage, registrations, versions } = options;

  async function prepare(
    request: UploadRequest,
    file: SpooledFile,
    by: Uploader,
  ): Promise<ReadyRegistration> {
    const graph = await inspectUntrusted(await file.bytes());
    const blob = await storage.putBlob(file.stream(), { sha256: file.sha256, sizeBytes: file.sizeBytes });
    const uploaded = [{ path: GRAPH_PATH, ...blob }];
    const { files, servingFile } = await withServingGraph(storage, uploaded, GRAPH_PATH, graph);
    const digest = modelDigest({ weightsDigest: graph.weightsDigest, graphDigests: [graph.sha256] });
    const receivedAt = new Date().toISOString();
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
      signed: await signPackage(options.key, {
        name: modelId,
        files,
        modelDigest: digest,
        provenance: uploadProvenance({
          by: by.id,
          requestId: by.requestId,
          sha256: graph.sha256,
          receivedAt,
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

  /** The next /predict should succeed; a model that the runtime refuses is taken back. */
  async function warmUp(registered: Registered): Promise<void> {
    if (registered.version.stage === 'archived') return;
    try {
      await options.warmUp(registered.version.id);
    } catch (error) {
      if (isAppError(error) && error.code === 'model_load_failed' && !registered.isReused) {
        await versions.withdraw(registered, error);
        throw error;
      }
      options.logger.warn(
        { err: error, modelVersionId: registered.version.id },
        'The version is registered but not warm; inference loads it at its first prediction.',
      );
    }
  }

  return {
    /**
     * Registers an uploaded ONNX file. The caller disposes of the file.
     * @throws AppError `checksum_mismatch`, `version_conflict`, `model_load_failed`, and those of the graph
     */
    async upload(request: UploadRequest, file: SpooledFile, by: Uploader): Promise<Registered> {
      if (request.sha256 !== undefined && request.sha256 !== file.sha256) {
        throw new AppError(
          'checksum_mismatch',
          `The bytes have SHA-256 ${file.sha256} instead of ${request.sha256}; upload again.`,
        );
      }
      const ready = await options.limit(() => prepare(request, file, by));
      const registered = await database.transaction((tx) => registrations.register(tx, ready));
      await warmUp(registered);
      return registered;
    },
  };
}
