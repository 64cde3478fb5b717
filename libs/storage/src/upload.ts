import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { isAlreadyThere, isMissing } from './errors.ts';
import { PARTS_MAX } from './parts.ts';
import type { KnownBytes } from './spool.ts';

/** Objects up to this size go in one request, larger ones in parts. */
export const SINGLE_PUT_BYTES = 16 * 1024 * 1024;
/** Size of a part unless PARTS_MAX of them would not hold the object. */
const PART_BYTES = 8 * 1024 * 1024;
/** Parts in flight: with PART_BYTES this bounds the memory of an upload to 16 MiB. */
const PARTS_AT_ONCE = 2;

type Target = { client: S3Client; bucket: string; key: string };

/**
 * Writes an object whose digest is known, unless it is there already: same size and, up to SINGLE_PUT_BYTES, same
 * SHA-256 by the server's account. One that is there but differs is damaged and is written anew.
 */
export async function uploadOnce(target: Target, bytes: KnownBytes): Promise<void> {
  const found = await findObject(target);
  const checksum = Buffer.from(bytes.sha256, 'hex').toString('base64');
  const isSingle = bytes.sizeBytes <= SINGLE_PUT_BYTES;
  if (found !== null) {
    // Every blob was written with its checksum, so one without did not come from here.
    const hasWrongDigest = isSingle && found.checksum !== checksum;
    if (found.sizeBytes === bytes.sizeBytes && !hasWrongDigest) return;
  }
  const condition = found === null ? { IfNoneMatch: '*' } : {};
  try {
    if (isSingle) await putWhole(target, bytes, checksum, condition);
    else await putInParts(target, bytes, condition);
  } catch (error) {
    // Someone else wrote the same content in the meantime.
    if (!isAlreadyThere(error)) throw error;
  }
}

async function findObject(
  target: Target,
): Promise<{ sizeBytes: number; checksum: string | undefined } | null> {
  try {
    const head = await target.client.send(
      new HeadObjectCommand({ Bucket: target.bucket, Key: target.key, ChecksumMode: 'ENABLED' }),
    );
    return { sizeBytes: head.ContentLength ?? 0, checksum: head.ChecksumSHA256 };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function putWhole(
  target: Target,
  bytes: KnownBytes,
  checksum: string,
  condition: object,
): Promise<void> {
  await target.client.send(
    new PutObjectCommand({
      Bucket: target.bucket,
      Key: target.key,
      Body: await bytes.read(0, bytes.sizeBytes),
      ContentLength: bytes.sizeBytes,
      ChecksumSHA256: checksum,
      ...condition,
    }),
  );
}

async function putInParts(target: Target, bytes: KnownBytes, condition: object): Promise<void> {
  const { client, bucket, key } = target;
  const at = { Bucket: bucket, Key: key };
  const { UploadId: uploadId } = await client.send(
    new CreateMultipartUploadCommand({ ...at, ChecksumAlgorithm: 'SHA256' }),
  );
  const partBytes = Math.max(PART_BYTES, Math.ceil(bytes.sizeBytes / PARTS_MAX));
  const count = Math.ceil(bytes.sizeBytes / partBytes);
  const parts: { PartNumber: number; ETag: string | undefined; ChecksumSHA256: string }[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    // one for all parts of a lane: garbage of this size is collected late
    const room = Buffer.allocUnsafeSlow(partBytes);
    while (next < count) {
      const index = next++;
      const body = await bytes.read(
        index * partBytes,
        Math.min(partBytes, bytes.sizeBytes - index * partBytes),
        room,
      );
      const checksum = createHash('sha256').update(body).digest('base64');
      const part = { PartNumber: index + 1, ChecksumSHA256: checksum };
      const sent = await client.send(
        new UploadPartCommand({ ...at, ...part, UploadId: uploadId, Body: body, ContentLength: body.length }),
      );
      parts[index] = { ...part, ETag: sent.ETag };
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(PARTS_AT_ONCE, count) }, work));
    await client.send(
      new CompleteMultipartUploadCommand({
        ...at,
        UploadId: uploadId,
        MultipartUpload: { Parts: parts },
        ...condition,
      }),
    );
  } catch (error) {
    next = count;
    await client.send(new AbortMultipartUploadCommand({ ...at, UploadId: uploadId })).catch(() => undefined);
    throw error;
  }
}
