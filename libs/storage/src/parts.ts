import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { AppError, isAppError } from '@millrace/contracts';
import { isMissing, toStorageError } from './errors.ts';

/** Bytes of a part; a stream up to this size is one request. */
const PART_BYTES = 8 * 1024 * 1024;
/** Parts under way beside the one that fills: with PART_BYTES this bounds the memory of a stream to 24 MiB. */
const PARTS_AT_ONCE = 2;
/** Parts of one object that S3 takes; with PART_BYTES it bounds a stream to 78 GiB. */
export const PARTS_MAX = 10_000;

export type WrittenObject = { sha256: string; sizeBytes: number };
/** A part that went to the object store, with the ETag that it answered, and its SHA-256 where that was announced. */
export type UploadedPart = { number: number; etag: string; sha256?: string };
/** A part that the object store has. */
export type StoredPart = { number: number; etag: string; sizeBytes: number };

/** An upload in parts that is not over. */
export type BegunUpload = { key: string; uploadId: string; startedAt: Date };

type Target = { client: S3Client; bucket: string; key: string };

/**
 * Writes a stream of unknown length to a key as it comes, a few parts in memory at a time; nothing is there unless all
 * of it came. Throws `payload_too_large` over `maxBytes`, what the stream throws, or `storage_unavailable`.
 */
export async function writeStream(
  target: Target,
  source: Readable,
  maxBytes: number,
): Promise<WrittenObject> {
  const hash = createHash('sha256');
  const writer = createPartWriter(target);
  let sizeBytes = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  try {
    for await (const piece of source) {
      const chunk = piece as Buffer;
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes)
        throw new AppError('payload_too_large', `The file is over the bound of ${maxBytes} bytes.`, {
          details: { limitBytes: maxBytes },
        });
      hash.update(chunk);
      held.push(chunk);
      heldBytes += chunk.length;
      if (heldBytes < PART_BYTES) continue;
      await writer.send(Buffer.concat(held, heldBytes));
      held = [];
      heldBytes = 0;
    }
    await writer.end(Buffer.concat(held, heldBytes));
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

function createPartWriter({ client, bucket, key }: Target) {
  const at = { Bucket: bucket, Key: key };
  const parts: { PartNumber: number; ETag: string | undefined }[] = [];
  const underWay = new Set<Promise<void>>();
  let uploadId: string | undefined;
  let fault: unknown;

  async function store(number: number, body: Buffer): Promise<void> {
    const part = { ...at, UploadId: uploadId, PartNumber: number, Body: body, ContentLength: body.length };
    const { ETag } = await client.send(new UploadPartCommand(part));
    parts[number - 1] = { PartNumber: number, ETag };
  }

  async function send(body: Buffer): Promise<void> {
    uploadId ??= (await asStorageError(key, client.send(new CreateMultipartUploadCommand(at)))).UploadId;
    const number = parts.length + 1;
    if (number > PARTS_MAX) throw new AppError('payload_too_large', `A file has at most ${PARTS_MAX} parts.`);
    parts.push({ PartNumber: number, ETag: undefined });
    const sending = store(number, body)
      .catch((error: unknown) => {
        fault ??= error;
      })
      .finally(() => underWay.delete(sending));
    underWay.add(sending);
    if (underWay.size >= PARTS_AT_ONCE) await Promise.race(underWay);
    if (fault !== undefined) throw toStorageError(fault, `writing ${key}`);
  }

  return {
    send,
    async end(rest: Buffer): Promise<void> {
      if (uploadId === undefined) {
        const put = { ...at, Body: rest, ContentLength: rest.length };
        await asStorageError(key, client.send(new PutObjectCommand(put)));
        return;
      }
      if (rest.length > 0) await send(rest);
      await Promise.all(underWay);
      if (fault !== undefined) throw toStorageError(fault, `writing ${key}`);
      const complete = { ...at, UploadId: uploadId, MultipartUpload: { Parts: parts } };
      await asStorageError(key, client.send(new CompleteMultipartUploadCommand(complete)));
    },
    async abort(): Promise<void> {
      if (uploadId === undefined) return;
      await Promise.all(underWay);
      const upload = { ...at, UploadId: uploadId };
      await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
    },
  };
}

async function asStorageError<T>(key: string, request: Promise<T>): Promise<T> {
  return await request.catch((error: unknown) => {
    throw toStorageError(error, `writing ${key}`);
  });
}

/** Begins an upload whose parts others send straight to the object store; `isChecked` where each has a SHA-256. */
export async function beginParts(
  { client, bucket, key }: Target,
  { isChecked = false }: { isChecked?: boolean } = {},
): Promise<string> {
  const checked = isChecked ? { ChecksumAlgorithm: 'SHA256' as const } : {};
  const { UploadId } = await asStorageError(
    key,
    client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: key, ...checked })),
  );
  if (UploadId === undefined)
    throw new AppError('storage_unavailable', `The object store began no upload of ${key}.`);
  return UploadId;
}

/** The header by which the object store checks a part. */
export const CHECKSUM_HEADER = 'x-amz-checksum-sha256';

/** A URL that takes one part from whoever has it; with a SHA-256 only bytes that have it, sent as CHECKSUM_HEADER. */
export async function presignPart(
  { client, bucket, key }: Target,
  uploadId: string,
  number: number,
  expiresSeconds: number,
  sha256?: string,
): Promise<string> {
  const checked = sha256 === undefined ? {} : { ChecksumSHA256: checksumOf(sha256) };
  const part = { Bucket: bucket, Key: key, UploadId: uploadId, PartNumber: number, ...checked };
  return await getSignedUrl(client, new UploadPartCommand(part), {
    expiresIn: expiresSeconds,
    unhoistableHeaders: new Set([CHECKSUM_HEADER]),
  });
}

/** A SHA-256 as the object store writes it. */
export function checksumOf(sha256: string): string {
  return Buffer.from(sha256, 'hex').toString('base64');
}

/** Uploads under a prefix that were begun and neither completed nor given up, at most `limit`. */
export async function listPartUploads(
  { client, bucket }: Omit<Target, 'key'>,
  prefix: string,
  limit: number,
): Promise<BegunUpload[]> {
  const { Uploads: found = [] } = await client
    .send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, MaxUploads: limit }))
    .catch((error: unknown) => {
      throw toStorageError(error, `listing uploads of ${prefix}`);
    });
  return found.flatMap(({ Key: key, UploadId: uploadId, Initiated: startedAt }) =>
    key === undefined || uploadId === undefined || startedAt === undefined
      ? []
      : [{ key, uploadId, startedAt }],
  );
}

/** The parts of an upload that have come. Throws `artifact_missing` when there is no such upload. */
export async function storedParts({ client, bucket, key }: Target, uploadId: string): Promise<StoredPart[]> {
  const found: StoredPart[] = [];
  for (let marker: string | undefined; ; ) {
    const page = await asStorageError(
      key,
      client.send(
        new ListPartsCommand({ Bucket: bucket, Key: key, UploadId: uploadId, PartNumberMarker: marker }),
      ),
    );
    for (const { PartNumber: number, ETag: etag, Size: sizeBytes } of page.Parts ?? [])
      if (number !== undefined && etag !== undefined) found.push({ number, etag, sizeBytes: sizeBytes ?? 0 });
    if (page.IsTruncated !== true || page.NextPartNumberMarker === marker) return found;
    marker = page.NextPartNumberMarker;
  }
}

/** Makes one object of the parts. Throws `invalid_request` when the object store does not have them all. */
export async function completeParts(
  { client, bucket, key }: Target,
  uploadId: string,
  parts: readonly UploadedPart[],
): Promise<void> {
  const all = [...parts].sort((a, b) => a.number - b.number);
  const upload = {
    Bucket: bucket,
    Key: key,
    UploadId: uploadId,
    MultipartUpload: {
      Parts: all.map(({ number, etag, sha256 }) => ({
        PartNumber: number,
        ETag: etag,
        ...(sha256 !== undefined && { ChecksumSHA256: checksumOf(sha256) }),
      })),
    },
  };
  try {
    await client.send(new CompleteMultipartUploadCommand(upload));
  } catch (error) {
    const { name } = error as { name?: unknown };
    if (
      name === 'InvalidPart' ||
      name === 'InvalidPartOrder' ||
      name === 'NoSuchUpload' ||
      name === 'EntityTooSmall'
    )
      throw new AppError(
        'invalid_request',
        `The object store does not have these parts (${String(name)}); send them again.`,
        {
          cause: error,
        },
      );
    throw toStorageError(error, `writing ${key}`);
  }
}

/** Gives an upload in parts up; one that is gone already is no fault. */
export async function abortParts({ client, bucket, key }: Target, uploadId: string): Promise<void> {
  try {
    await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }));
  } catch (error) {
    const known = toStorageError(error, `giving up ${key}`);
    const isGone = isMissing(error) || (error as { name?: unknown }).name === 'NoSuchUpload';
    if (!isGone && isAppError(known)) throw known;
  }
}
