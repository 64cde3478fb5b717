import { randomBytes } from 'node:crypto';
import { deleteBucket, ensureBucket, type S3Target } from '@millrace/embedded';
import { testInfra } from './test-infra.ts';

/** A bucket of one test file, with the key that administers it. */
export type TestBucket = S3Target & {
  /** Removes the bucket with all that is in it. */
  drop(): Promise<void>;
};

/** Makes an empty bucket in the run's object store. */
export async function createTestBucket(): Promise<TestBucket> {
  const { endpoint, region, accessKeyId, secretAccessKey } = testInfra().s3;
  const bucket = `test-${randomBytes(6).toString('hex')}`;
  const target = { endpoint, region, bucket, accessKeyId, secretAccessKey };
  if (!(await ensureBucket(target))) throw new Error(`the object store refused to make ${bucket}`);
  return { ...target, drop: () => deleteBucket(target) };
}
