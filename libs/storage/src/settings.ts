import type { Storage } from './storage.ts';
import { createStorage } from './storage.ts';

/** The object store as a service's configuration names it. */
export type StorageSettings = {
  readonly s3Endpoint: string;
  readonly s3PublicEndpoint?: string;
  readonly s3Region: string;
  readonly s3Bucket: string;
  readonly s3AccessKeyId: string;
  readonly s3SecretAccessKey: string;
};

/** The object store of a service, by its configuration. */
export function storageOf(settings: StorageSettings): Storage {
  return createStorage({
    endpoint: settings.s3Endpoint,
    publicEndpoint: settings.s3PublicEndpoint,
    region: settings.s3Region,
    bucket: settings.s3Bucket,
    accessKeyId: settings.s3AccessKeyId,
    secretAccessKey: settings.s3SecretAccessKey,
  });
}
