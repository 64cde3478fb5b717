export type { StorageOptions } from './client.ts';
export { blobKey } from './keys.ts';
export type { ByteRange, ObjectInfo } from './ranges.ts';
export type { StorageSettings } from './settings.ts';
export { storageOf } from './settings.ts';
export type { BlobRef, PutBlobOptions, Storage } from './storage.ts';
export { BUFFER_BYTES_MAX, createStorage } from './storage.ts';
