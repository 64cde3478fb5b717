import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { AppError, isAppError } from '@millrace/contracts';
import type { StorageOptions } from './client.ts';
import { createClient } from './client.ts';
import { isMissing, toStorageError } from './errors.ts';
import { blobKey, checkedKey } from './keys.ts';
import type { BegunUpload, StoredPart, UploadedPart, WrittenObject } from './parts.ts';
import {
  abortParts,
  beginParts,
  completeParts,
  listPartUploads,
  presignPart,
  storedParts,
  writeStream,
} from './parts.ts';
import type { DatedObject } from './quarantine.ts';
import { listDated, moveObject, quarantineKey } from './quarantine.ts';
import type { ByteRange, ObjectInfo } from './ranges.ts';
import { listObjects, openRange } from './ranges.ts';
import type { KnownBytes, Spooled } from './spool.ts';
import { spoolBuffer, spoolStream } from './spool.ts';
import { uploadOnce } from './upload.ts';
import { readAll, verifiedStream } from './verified-read.ts';

/** Largest blob that `getBlobBuffer` and `getObject` read into memory unless the caller sets a bound. */
export const BUFFER_BYTES_MAX = 256 * 1024 * 1024;
/** A health check that takes longer counts as failed. */
const HEALTH_TIMEOUT_MS = 2_000;
/** Attempts to download a whole blob when the connection breaks half way. */
const DOWNLOAD_ATTEMPTS_MAX = 3;
/** Life of a presigned URL unless the caller says otherwise. */
const PRESIGN_SECONDS = 900;

/** A blob's name and size. */
export type BlobRef = { sha256: string; sizeBytes: number };

/** What a caller knows of a blob before it is read; differences are `checksum_mismatch`. */
export type PutBlobOptions = { sha256?: string; sizeBytes?: number; maxBytes?: number };

/** Objects in one bucket: blobs named by their SHA-256, and plain keys for checkpoints. Failures are AppErrors. */
export type Storage = {
  /**
   * Stores bytes under their own digest; a blob that exists is kept. Throws `checksum_mismatch`, `payload_too_large`
   * or `storage_unavailable`; nothing is written unless the whole source was read and fits. Bytes whose digest is known
   * go as they are; what is sent of them is checked part by part.
   */
  putBlob(source: Readable | Uint8Array | KnownBytes, options?: PutBlobOptions): Promise<BlobRef>;
  /** The blob as a stream that fails with `artifact_corrupt` at its end when the bytes are not those of the digest. */
  getBlob(sha256: string): Promise<Readable>;
  /** The verified blob in memory. */
  getBlobBuffer(sha256: string, options?: { maxBytes?: number }): Promise<Buffer>;
  /** Writes the verified blob to a file, which appears only when it is whole. */
  downloadBlob(sha256: string, filePath: string): Promise<void>;
  hasBlob(sha256: string): Promise<boolean>;
  putObject(key: string, body: Uint8Array, options?: { contentType?: string }): Promise<void>;
  getObject(key: string, options?: { maxBytes?: number }): Promise<Buffer>;
  /**
   * Writes a stream of any length to a key as it comes, with at most 24 MiB of it in memory; nothing is there unless
   * all of it came. Throws `payload_too_large` over `maxBytes` and what the stream throws.
   */
  writeObject(key: string, source: Readable, options: { maxBytes: number }): Promise<WrittenObject>;
  /** Begins an object whose parts others send to `presignPart` URLs; gives the id of the upload. */
  beginParts(key: string, options?: { isChecked?: boolean }): Promise<string>;
  /** With a SHA-256 the sender must send it in CHECKSUM_HEADER too, and the object store takes no other bytes. */
  presignPart(
    key: string,
    uploadId: string,
    number: number,
    expiresSeconds: number,
    sha256?: string,
  ): Promise<string>;
  storedParts(key: string, uploadId: string): Promise<StoredPart[]>;
  /** Throws `invalid_request` when the object store does not have all these parts. */
  completeParts(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void>;
  abortParts(key: string, uploadId: string): Promise<void>;
  /** The bytes of an object as they come, unverified. */
  readObject(key: string): Promise<Readable>;
  /** Removes an object; one that is not there is no fault. */
  deleteObject(key: string): Promise<void>;
  /** Size of an object, null when there is none. */
  headObject(key: string): Promise<{ sizeBytes: number } | null>;
  /** Part of an object, unverified. Throws `precondition_failed` when its ETag is not the given one. */
  openRange(key: string, range: ByteRange): Promise<Readable>;
  /** Objects under a prefix, by key, at most `max`. */
  listObjects(prefix: string, max: number): Promise<ObjectInfo[]>;
  /** One page of objects under a prefix, by key, after the given one. */
  listDated(
    prefix: string,
    options: { after?: string | undefined; limit: number },
  ): Promise<{ items: DatedObject[]; isLast: boolean }>;
  /** Uploads in parts under a prefix that were begun and are not over, at most `limit`. */
  listPartUploads(prefix: string, limit: number): Promise<BegunUpload[]>;
  /** Takes a blob out of use; whoever reads it brings it back. False when there is none. */
  quarantineBlob(sha256: string): Promise<boolean>;
  /** Brings a blob back; false when it is not in quarantine. */
  restoreBlob(sha256: string): Promise<boolean>;
  /** Removes every object under a prefix, which must end with `/`; returns how many there were. */
  deletePrefix(prefix: string): Promise<number>;
  /** A URL that gives the object to whoever has it, for `expiresSeconds` (900 unless given). */
  presignGet(key: string, options?: { expiresSeconds?: number; fileName?: string }): Promise<string>;
  ensureBucket(): Promise<void>;
  /** Throws `storage_unavailable` unless the bucket answers within 2 s. */
  checkHealth(): Promise<void>;
  close(): void;
};

type Context = {
  client: S3Client;
  /** Signs the URLs that are given away; sends nothing. */
  signer: S3Client;
  bucket: string;
  spoolDir: string | undefined;
};

/** Opens the object store; nothing is sent until the first call. */
export function createStorage(options: StorageOptions): Storage {
  const client = createClient(options);
  const { publicEndpoint } = options;
  const signer = publicEndpoint ? createClient({ ...options, endpoint: publicEndpoint }) : client;
  const context: Context = { client, signer, bucket: options.bucket, spoolDir: options.spoolDir };
  const place = (key: string) => ({ client, bucket: options.bucket, key: checkedKey(key) });
  return {
    putBlob: async (source, put = {}) => await putBlob(context, source, put),
    getBlob: async (sha256) => verifiedStream(await openBlob(context, sha256), sha256),
    getBlobBuffer: async (sha256, { maxBytes = BUFFER_BYTES_MAX } = {}) =>
      await readAll(verifiedStream(await openBlob(context, sha256), sha256), maxBytes, `Blob ${sha256}`),
    downloadBlob: async (sha256, filePath) => await downloadBlob(context, sha256, filePath),
    hasBlob: async (sha256) => (await headObject(context, blobKey(sha256))) !== null,
    putObject: async (key, body, put = {}) => await putObject(context, key, body, put.contentType),
    getObject: async (key, { maxBytes = BUFFER_BYTES_MAX } = {}) =>
      await getObject(context, checkedKey(key), maxBytes),
    writeObject: async (key, source, { maxBytes }) => await writeStream(place(key), source, maxBytes),
    beginParts: async (key, begin) => await beginParts(place(key), begin),
    presignPart: async (key, uploadId, number, seconds, sha256) =>
      await presignPart({ ...place(key), client: signer }, uploadId, number, seconds, sha256),
    storedParts: async (key, uploadId) => await storedParts(place(key), uploadId),
    completeParts: async (key, uploadId, parts) => await completeParts(place(key), uploadId, parts),
    abortParts: async (key, uploadId) => await abortParts(place(key), uploadId),
    readObject: async (key) => await openObject(context, checkedKey(key)),
    deleteObject: async (key) => await deleteObject(context, checkedKey(key)),
    headObject: async (key) => await headObject(context, checkedKey(key)),
    openRange: async (key, range) => await openRange(context, checkedKey(key), range),
    listObjects: async (prefix, max) => await listObjects(context, checkedKey(prefix), max),
    listDated: async (prefix, page) => await listDated(context, checkedKey(prefix), page),
    listPartUploads: async (prefix, limit) => await listPartUploads(context, checkedKey(prefix), limit),
    quarantineBlob: async (sha256) => await moveObject(context, blobKey(sha256), quarantineKey(sha256)),
    restoreBlob: async (sha256) => await moveObject(context, quarantineKey(sha256), blobKey(sha256)),
    deletePrefix: async (prefix) => await deletePrefix(context, prefix),
    presignGet: async (key, sign = {}) => await presignGet(context, checkedKey(key), sign),
    ensureBucket: async () => await ensureBucket(context),
    checkHealth: async () => await checkHealth(context),
    close: () => {
      client.destroy();
      signer.destroy();
    },
  };
}

async function putBlob(
  context: Context,
  source: Readable | Uint8Array | KnownBytes,
  options: PutBlobOptions,
): Promise<BlobRef> {
  const bytes = await spooled(context, source, options);
  try {
    const { sha256, sizeBytes } = bytes;
    if (options.sizeBytes !== undefined && options.sizeBytes !== sizeBytes) {
      throw new AppError(
        'checksum_mismatch',
        `Received ${sizeBytes} bytes instead of ${options.sizeBytes}; upload again.`,
      );
    }
    if (options.sha256 !== undefined && options.sha256 !== sha256) {
      throw new AppError(
        'checksum_mismatch',
        `The bytes have SHA-256 ${sha256} instead of ${options.sha256}; upload again.`,
      );
    }
    const key = blobKey(sha256);
    await uploadOnce({ client: context.client, bucket: context.bucket, key }, bytes).catch(
      (error: unknown) => {
        throw toStorageError(error, `writing ${key}`);
      },
    );
    return { sha256, sizeBytes };
  } finally {
    await bytes.dispose();
  }
}

async function spooled(
  { spoolDir }: Context,
  source: Readable | Uint8Array | KnownBytes,
  { maxBytes }: PutBlobOptions,
): Promise<Spooled> {
  if (source instanceof Uint8Array)
    return spoolBuffer(Buffer.from(source.buffer, source.byteOffset, source.byteLength));
  if (source instanceof Readable) return await spoolStream(source, { spoolDir, maxBytes });
  return { ...source, dispose: async () => undefined };
}

async function openObject(context: Context, key: string): Promise<Readable> {
  try {
    const { Body } = await context.client.send(new GetObjectCommand({ Bucket: context.bucket, Key: key }));
    return Body as Readable;
  } catch (error) {
    throw toStorageError(error, `reading ${key}`);
  }
}

/** One that was taken out of use comes back: somebody needs it after all. */
async function openBlob(context: Context, sha256: string): Promise<Readable> {
  try {
    return await openObject(context, blobKey(sha256));
  } catch (error) {
    if (!isAppError(error) || error.code !== 'artifact_missing') throw error;
    // false also where another reader has just brought it back
    await moveObject(context, quarantineKey(sha256), blobKey(sha256));
    return await openObject(context, blobKey(sha256));
  }
}

async function downloadBlob(context: Context, sha256: string, filePath: string): Promise<void> {
  await mkdir(dirname(filePath), { recursive: true });
  const partial = `${filePath}.${randomUUID()}.partial`;
  for (let attempt = 1; ; attempt++) {
    try {
      const stream = verifiedStream(await openBlob(context, sha256), sha256);
      await pipeline(stream, createWriteStream(partial, { mode: 0o600 }));
      await rename(partial, filePath);
      return;
    } catch (error) {
      await rm(partial, { force: true });
      const canHelp = isAppError(error) && error.code === 'storage_unavailable';
      if (!canHelp || attempt >= DOWNLOAD_ATTEMPTS_MAX) throw error;
    }
  }
}

async function getObject(context: Context, key: string, maxBytes: number): Promise<Buffer> {
  const body = await openObject(context, key);
  try {
    return await readAll(body, maxBytes, key);
  } catch (error) {
    throw toStorageError(error, `reading ${key}`);
  }
}

async function putObject(
  context: Context,
  key: string,
  body: Uint8Array,
  contentType?: string,
): Promise<void> {
  const type = contentType === undefined ? {} : { ContentType: contentType };
  const at = { Bucket: context.bucket, Key: checkedKey(key) };
  try {
    const sha256 = Buffer.from(spoolBuffer(Buffer.from(body)).sha256, 'hex').toString('base64');
    await context.client.send(new PutObjectCommand({ ...at, ...type, Body: body, ChecksumSHA256: sha256 }));
  } catch (error) {
    throw toStorageError(error, `writing ${key}`);
  }
}

async function headObject(context: Context, key: string): Promise<{ sizeBytes: number } | null> {
  try {
    const head = await context.client.send(new HeadObjectCommand({ Bucket: context.bucket, Key: key }));
    return { sizeBytes: head.ContentLength ?? 0 };
  } catch (error) {
    if (isMissing(error)) return null;
    throw toStorageError(error, `looking for ${key}`);
  }
}

async function deleteObject(context: Context, key: string): Promise<void> {
  try {
    await context.client.send(new DeleteObjectCommand({ Bucket: context.bucket, Key: key }));
  } catch (error) {
    throw toStorageError(error, `deleting ${key}`);
  }
}

async function deletePrefix(context: Context, prefix: string): Promise<number> {
  if (!checkedKey(prefix).endsWith('/')) throw new AppError('bad_id', 'A prefix to delete must end with /.');
  let deleted = 0;
  try {
    for (;;) {
      const page = await context.client.send(
        new ListObjectsV2Command({ Bucket: context.bucket, Prefix: prefix }),
      );
      const objects = (page.Contents ?? []).flatMap(({ Key }) => (Key === undefined ? [] : [{ Key }]));
      if (objects.length === 0) return deleted;
      await context.client.send(
        new DeleteObjectsCommand({ Bucket: context.bucket, Delete: { Objects: objects, Quiet: true } }),
      );
      deleted += objects.length;
    }
  } catch (error) {
    throw toStorageError(error, `deleting ${prefix}`);
  }
}

async function presignGet(
  context: Context,
  key: string,
  options: { expiresSeconds?: number; fileName?: string },
): Promise<string> {
  const name = options.fileName?.replaceAll(/[^A-Za-z0-9._-]/g, '_');
  const disposition =
    name === undefined ? {} : { ResponseContentDisposition: `attachment; filename="${name}"` };
  const command = new GetObjectCommand({ Bucket: context.bucket, Key: key, ...disposition });
  return await getSignedUrl(context.signer, command, {
    expiresIn: options.expiresSeconds ?? PRESIGN_SECONDS,
  });
}

async function ensureBucket(context: Context): Promise<void> {
  try {
    await context.client.send(new CreateBucketCommand({ Bucket: context.bucket }));
  } catch (error) {
    const name = (error as { name?: string }).name;
    if (name !== 'BucketAlreadyOwnedByYou' && name !== 'BucketAlreadyExists') {
      throw toStorageError(error, `making bucket ${context.bucket}`);
    }
  }
}

async function checkHealth(context: Context): Promise<void> {
  try {
    const abortSignal = AbortSignal.timeout(HEALTH_TIMEOUT_MS);
    await context.client.send(new HeadBucketCommand({ Bucket: context.bucket }), { abortSignal });
  } catch (error) {
    const missing = isMissing(error)
      ? Object.assign(new Error('no bucket'), { name: 'NoSuchBucket' })
      : error;
    throw toStorageError(missing, `asking for bucket ${context.bucket}`);
  }
}
