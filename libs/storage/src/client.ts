import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';

/** Longest wait for a TCP connection to the object store. */
export const CONNECT_TIMEOUT_MS = 2_000;
/** A connection on which nothing moves for this long is given up. */
export const IDLE_TIMEOUT_MS = 30_000;
/** Attempts for each request, the first included; the SDK waits longer between them. */
export const REQUEST_ATTEMPTS_MAX = 3;
/** Connections held at most. */
const SOCKETS_MAX = 64;

export type StorageOptions = {
  endpoint: string;
  /** Origin in the URLs that are given away, when clients reach the server under another than `endpoint`. */
  publicEndpoint?: string | undefined;
  region: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Folder for uploads while they are hashed; the system's temporary folder unless given. */
  spoolDir?: string;
};

/** An S3 client with named bounds that works with any S3 server. */
export function createClient(options: StorageOptions): S3Client {
  return new S3Client({
    endpoint: options.endpoint,
    region: options.region,
    credentials: { accessKeyId: options.accessKeyId, secretAccessKey: options.secretAccessKey },
    forcePathStyle: true,
    maxAttempts: REQUEST_ATTEMPTS_MAX,
    // Digests are sent and checked by this library itself, over the whole object.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new NodeHttpHandler({
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: IDLE_TIMEOUT_MS,
      httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
    }),
  });
}
