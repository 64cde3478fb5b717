import type { S3Credentials } from './seaweedfs.ts';

const KEYED_SECTIONS = ['jwt.signing', 'jwt.signing.read', 'jwt.filer_signing', 'jwt.filer_signing.read'];

/** The identities file: `services` administers, `worker` reads, writes and lists in the one bucket. */
export function identities(input: {
  bucket: string;
  services: S3Credentials;
  worker: S3Credentials;
}): string {
  const identity = (name: string, key: S3Credentials, actions: string[]): object => ({
    name,
    credentials: [{ accessKey: key.accessKeyId, secretKey: key.secretAccessKey }],
    actions,
  });
  const workerActions = ['Read', 'Write', 'List'].map((action) => `${action}:${input.bucket}`);
  const document = {
    identities: [
      identity('services', input.services, ['Admin', 'Read', 'Write', 'List', 'Tagging']),
      identity('worker', input.worker, workerActions),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Without these keys the filer and the volume server would hand every object to any local user over HTTP. */
export function securityToml(keys: readonly string[]): string {
  return KEYED_SECTIONS.map((section, index) => `[${section}]\nkey = "${keys[index] ?? ''}"\n`).join('\n');
}
