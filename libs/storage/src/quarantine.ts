import type { S3Client } from '@aws-sdk/client-s3';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import { isMissing, toStorageError } from './errors.ts';
import { blobKey } from './keys.ts';

/** Folder of blobs that nobody seems to need; reading one brings it back. */
export const QUARANTINE_FOLDER = 'quarantine/';
/** Folder of blobs. */
export const BLOB_FOLDER = 'cas/';

/** An object with the time at which it was written. */
export type DatedObject = { key: string; sizeBytes: number; modifiedAt: Date };

type Place = { client: S3Client; bucket: string };

/** Where a blob waits for its end. */
export function quarantineKey(sha256: string): string {
  return blobKey(sha256).replace(BLOB_FOLDER, QUARANTINE_FOLDER);
}

/** One page of objects under a prefix, by key, after the given one. */
export async function listDated(
  { client, bucket }: Place,
  prefix: string,
  options: { after?: string | undefined; limit: number },
): Promise<{ items: DatedObject[]; isLast: boolean }> {
  try {
    const page = await client.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        MaxKeys: options.limit,
        ...(options.after !== undefined && { StartAfter: options.after }),
      }),
    );
    const items = (page.Contents ?? []).flatMap(
      ({ Key: key, Size: sizeBytes = 0, LastModified: modifiedAt }) =>
        key === undefined || modifiedAt === undefined ? [] : [{ key, sizeBytes, modifiedAt }],
    );
    return { items, isLast: page.IsTruncated !== true };
  } catch (error) {
    throw toStorageError(error, `listing ${prefix}`);
  }
}

/** Moves an object within the bucket; false when there is none. The copy is whole before the original goes. */
export async function moveObject({ client, bucket }: Place, from: string, to: string): Promise<boolean> {
  try {
    const { ContentLength: sizeBytes } = await client.send(
      new HeadObjectCommand({ Bucket: bucket, Key: from }),
    );
    await client.send(new CopyObjectCommand({ Bucket: bucket, Key: to, CopySource: `${bucket}/${from}` }));
    const copy = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: to }));
    if (copy.ContentLength !== sizeBytes) throw new Error(`The copy of ${from} has another length.`);
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: from }));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw toStorageError(error, `moving ${from}`);
  }
}
