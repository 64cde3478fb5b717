import type { Secrets } from '../../../infra/embedded/src/secrets.ts';

/** Name of the database of all services, each of which has a schema in it. */
export const DATABASE = 'millrace';
/** Names of the containers, which are names of hosts for one another. */
const POSTGRES = 'postgres:5432';
const NATS = 'nats:4222';

/** Variables of services or workers that hold a password, as lines of NAME=value; infra/compose.yaml has all others. */
export function secretVariables(secrets: Secrets, user: 'services' | 'worker'): string {
  const natsPassword = user === 'services' ? secrets.natsServicesPassword : secrets.natsWorkerPassword;
  const databaseUrl = `postgres://millrace:${secrets.postgresPassword}@${POSTGRES}/${DATABASE}`;
  const own: Record<string, string> =
    user === 'services'
      ? {
          MILLRACE_DATABASE_URL: databaseUrl,
          MILLRACE_S3_ACCESS_KEY_ID: secrets.s3ServicesAccessKeyId,
          MILLRACE_S3_SECRET_ACCESS_KEY: secrets.s3ServicesSecretAccessKey,
        }
      : {
          MILLRACE_S3_ACCESS_KEY_ID: secrets.s3WorkerAccessKeyId,
          MILLRACE_S3_SECRET_ACCESS_KEY: secrets.s3WorkerSecretAccessKey,
        };
  const variables = { MILLRACE_NATS_URL: `nats://${user}:${natsPassword}@${NATS}`, ...own };
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
