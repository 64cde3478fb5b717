import { AppError } from '@millrace/contracts';
import { modelDigest } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { uploadProvenance } from '../registration/provenance.ts';
import type { ReadyRegistration } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import { NOT_SERVABLE } from '../versions/version.repository.ts';
import type { UploadedPart } from './multipart.ts';
import type { SpooledFile } from './spool.ts';
import type { Uploader } from './upload.service.ts';

/** Bytes of a meta.json. */
const META_BYTES_MAX = 1024 * 1024;
/** Where a FlatBuffer has the offset of its root, and TensorFlow Lite the name of its schema. */
const ROOT_OFFSET_BYTES = 4;
const IDENTIFIER = Buffer.from('TFL3');
const HEAD_BYTES = ROOT_OFFSET_BYTES + IDENTIFIER.length;
const WHY = 'No runtime here loads TensorFlow Lite; devices take the signed file.';

/** A trained model as it came: the file for devices, and what its training says of it. */
export type TfliteUpload = {
  readonly file: SpooledFile;
  readonly metaFile: SpooledFile | undefined;
  readonly meta: Readonly<Record<string, unknown>>;
};

/**
 * Tells the model from its meta.json by their bytes and checks both.
 * @throws AppError `unknown_format`, `invalid_json`, `invalid_request`
 */
export async function readTflite(parts: readonly UploadedPart[]): Promise<TfliteUpload> {
  const models: SpooledFile[] = [];
  const others: UploadedPart[] = [];
  for (const part of parts) {
    if (await isTflite(part.file)) models.push(part.file);
    else others.push(part);
  }
  const [file] = models;
  if (file === undefined || models.length > 1 || others.length > 1)
    throw new AppError(
      'unknown_format',
      'Send one TensorFlow Lite file and, if there is one, its meta.json; other models go to POST /model/upload.',
    );
  const metaFile = others[0]?.file;
  return { file, metaFile, meta: metaFile === undefined ? {} : await readMeta(metaFile) };
}

async function isTflite(file: SpooledFile): Promise<boolean> {
  if (file.sizeBytes <= HEAD_BYTES) return false;
  const pieces: Buffer[] = [];
  for await (const piece of file.stream(0, HEAD_BYTES)) pieces.push(piece as Buffer);
  const head = Buffer.concat(pieces);
  return head.subarray(ROOT_OFFSET_BYTES).equals(IDENTIFIER) && head.readUInt32LE(0) < file.sizeBytes;
}

async function readMeta(file: SpooledFile): Promise<Record<string, unknown>> {
  if (file.sizeBytes > META_BYTES_MAX)
    throw new AppError('payload_too_large', `meta.json is over the bound of ${META_BYTES_MAX} bytes.`);
  let meta: unknown;
  try {
    meta = JSON.parse((await file.bytes()).toString('utf8'));
  } catch (cause) {
    throw new AppError('invalid_json', 'The file beside the model is no JSON; send meta.json.', { cause });
  }
  if (isRecord(meta)) return meta;
  throw new AppError('invalid_request', 'meta.json must hold a JSON object.');
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Stores and signs the files as they came; the version is kept and signed, and nothing here serves it. */
export async function prepareTflite(
  { storage, key }: { storage: Storage; key: SigningKey },
  { file, metaFile, meta }: TfliteUpload,
  target: { model: string; label: string | undefined; dataset: { datasetId: string; name: string } },
  by: Uploader,
): Promise<ReadyRegistration> {
  const files = [{ path: 'model.tflite', ...(await storage.putBlob(file)) }];
  if (metaFile !== undefined) files.push({ path: 'meta.json', ...(await storage.putBlob(metaFile)) });
  const digest = modelDigest({ graphDigests: [file.sha256] });
  const { dataset } = target;
  const trained = isRecord(meta.model) ? meta.model.metrics : undefined;
  const hash = isRecord(meta.dataset) && typeof meta.dataset.hash === 'string' ? meta.dataset.hash : null;
  return {
    tenant: by.tenant,
    model: target.model,
    label: target.label,
    stage: 'development',
    framework: 'tflite',
    modelDigest: digest,
    graph: { sha256: file.sha256, inputs: [], outputs: [] },
    servingFile: NOT_SERVABLE,
    signed: await signPackage(key, {
      name: target.model,
      files,
      modelDigest: digest,
      provenance: uploadProvenance({
        by: by.id,
        requestId: by.requestId,
        files: files.map(({ path, sha256 }) => ({ path, sha256 })),
        receivedAt: new Date().toISOString(),
      }),
      meta: { framework: 'tflite', dataset, servable: WHY },
    }),
    inputSchema: undefined,
    outputSchema: undefined,
    metadata: undefined,
    lineage: {
      source: 'dataset',
      requestId: by.requestId,
      datasetId: dataset.datasetId,
      datasetHash: hash,
      flavour: 'tflite',
      notServable: WHY,
    },
    metrics: isRecord(trained) ? trained : {},
    by: by.id,
    requestId: undefined,
  };
}
