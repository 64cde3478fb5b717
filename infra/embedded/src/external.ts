import { INBOX_PREFIXES, type InfraCoordinates } from './coordinates.ts';
import { LaunchError } from './launch-error.ts';
import { EMBEDDED_S3_REGION } from './seaweedfs.ts';

const DEFAULT_BUCKET = 'millrace';

/** Servers that somebody else runs; null where the embedded one is used. */
export type External = {
  database: InfraCoordinates['database'] | null;
  nats: InfraCoordinates['nats'] | null;
  s3: InfraCoordinates['s3'] | null;
};

/** Reads which servers are external; throws a LaunchError when one is named by halves. */
export function readExternal(env: NodeJS.ProcessEnv): External {
  return {
    database: env.MILLRACE_DATABASE_URL ? { url: env.MILLRACE_DATABASE_URL } : null,
    nats: externalNats(env),
    s3: externalS3(env),
  };
}

function externalNats(env: NodeJS.ProcessEnv): External['nats'] {
  const url = env.MILLRACE_NATS_URL;
  if (!url) return null;
  return {
    servicesUrl: url,
    servicesInboxPrefix: env.MILLRACE_NATS_INBOX_PREFIX ?? INBOX_PREFIXES.services,
    workerUrl: env.MILLRACE_NATS_WORKER_URL ?? url,
    workerInboxPrefix: env.MILLRACE_NATS_WORKER_INBOX_PREFIX ?? INBOX_PREFIXES.worker,
  };
}

function externalS3(env: NodeJS.ProcessEnv): External['s3'] {
  const endpoint = env.MILLRACE_S3_ENDPOINT;
  if (!endpoint) return null;
  const required = (name: string): string => {
    const value = env[name];
    if (!value) throw new LaunchError('s3', `MILLRACE_S3_ENDPOINT is set, so ${name} must be set too`);
    return value;
  };
  const accessKeyId = required('MILLRACE_S3_ACCESS_KEY_ID');
  const secretAccessKey = required('MILLRACE_S3_SECRET_ACCESS_KEY');
  return {
    endpoint,
    region: env.MILLRACE_S3_REGION ?? EMBEDDED_S3_REGION,
    bucket: env.MILLRACE_S3_BUCKET ?? DEFAULT_BUCKET,
    accessKeyId,
    secretAccessKey,
    workerAccessKeyId: env.MILLRACE_S3_WORKER_ACCESS_KEY_ID ?? accessKeyId,
    workerSecretAccessKey: env.MILLRACE_S3_WORKER_SECRET_ACCESS_KEY ?? secretAccessKey,
  };
}
