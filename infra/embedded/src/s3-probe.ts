import { AwsClient } from 'aws4fetch';

const PROBE_TIMEOUT_MS = 5_000;
const PROBE_KEY = '.millrace-probe';

/** A bucket and the key that may administer it. */
export type S3Target = {
  endpoint: string;
  region: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
};

/** Makes the bucket when it is missing, then writes and removes one object; false while the store is not up. */
export async function isBucketWritable(target: S3Target): Promise<boolean> {
  if (!(await ensureBucket(target))) return false;
  const put = await request(target, 'PUT', PROBE_KEY, 'probe');
  if (!put.ok) return false;
  return (await request(target, 'DELETE', PROBE_KEY)).ok;
}

/** Makes the bucket when it is missing; false when the store did not accept it. */
export async function ensureBucket(target: S3Target): Promise<boolean> {
  if ((await request(target, 'HEAD', '')).ok) return true;
  const made = await request(target, 'PUT', '');
  return made.ok || made.status === 409;
}

/** Removes a bucket with all that is in it. */
export async function deleteBucket(target: S3Target): Promise<void> {
  const deleted = await request(target, 'DELETE', '');
  if (!deleted.ok && deleted.status !== 404) {
    throw new Error(`cannot delete bucket ${target.bucket}: ${deleted.status} ${await deleted.text()}`);
  }
}

function request(target: S3Target, method: string, key: string, body?: string): Promise<Response> {
  const { accessKeyId, secretAccessKey, region } = target;
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3', retries: 0 });
  const path = key ? `${target.bucket}/${key}` : target.bucket;
  return client.fetch(`${target.endpoint}/${path}`, {
    method,
    signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    ...(body === undefined ? {} : { body }),
  });
}
