import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { AppError } from '@millrace/contracts';
import { isAlreadyThere, toStorageError } from './errors.ts';

/** Part of an object: bytes `start` up to but not including `end`; only while it has this `etag`, where one is given. */
export type ByteRange = { start: number; end: number; etag?: string };

/** An object as a listing shows it; `etag` changes with its bytes. */
export type ObjectInfo = { key: string; sizeBytes: number; etag: string };

type Place = { client: S3Client; bucket: string };

/** Opens part of an object. Throws `precondition_failed` when its ETag is another, and errors of the object store. */
export async function openRange({ client, bucket }: Place, key: string, range: ByteRange): Promise<Readable> {
  try {
    const { Body } = await client.send(
      new GetObjectCommand({
        Bucket: bucket,
        Key: key,
        Range: `bytes=${range.start}-${range.end - 1}`,
        ...(range.etag !== undefined && { IfMatch: range.etag }),
      }),
    );
    return Body as Readable;
  } catch (error) {
    if (isAlreadyThere(error))
      throw new AppError('precondition_failed', `The object ${key} has changed since it was listed.`);
    throw toStorageError(error, `reading ${key}`);
  }
}

/** The objects whose keys begin with `prefix`, by key; stops after `max`. */
export async function listObjects(
  { client, bucket }: Place,
  prefix: string,
  max: number,
): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  let token: string | undefined;
  try {
    do {
      const page = await client.send(
        new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }),
      );
      for (const { Key: key, Size: sizeBytes = 0, ETag: etag = '' } of page.Contents ?? [])
        if (key !== undefined && !key.endsWith('/')) found.push({ key, sizeBytes, etag });
      token = page.NextContinuationToken;
    } while (token !== undefined && found.length < max);
  } catch (error) {
    throw toStorageError(error, `listing ${prefix}`);
  }
  return found.slice(0, max);
}
