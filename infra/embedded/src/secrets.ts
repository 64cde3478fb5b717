import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Random credentials of the embedded servers; made once a home, so that a restart keeps them. */
export type Secrets = {
  postgresPassword: string;
  natsServicesPassword: string;
  natsWorkerPassword: string;
  s3ServicesAccessKeyId: string;
  s3ServicesSecretAccessKey: string;
  s3WorkerAccessKeyId: string;
  s3WorkerSecretAccessKey: string;
  s3InternalKeys: string[];
};

const SECRET_BYTES = 24;
const INTERNAL_KEYS = 4;

/** Reads the secrets of a home, or makes them (file mode 0600). */
export function loadSecrets(keysFolder: string): Secrets {
  const file = join(keysFolder, 'secrets.json');
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Secrets;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  createOnce(file, `${JSON.stringify(makeSecrets(), null, 2)}\n`);
  return JSON.parse(readFileSync(file, 'utf8')) as Secrets;
}

function makeSecrets(): Secrets {
  const secret = (): string => randomBytes(SECRET_BYTES).toString('hex');
  return {
    postgresPassword: secret(),
    natsServicesPassword: secret(),
    natsWorkerPassword: secret(),
    s3ServicesAccessKeyId: `services${randomBytes(6).toString('hex')}`,
    s3ServicesSecretAccessKey: secret(),
    s3WorkerAccessKeyId: `worker${randomBytes(6).toString('hex')}`,
    s3WorkerSecretAccessKey: secret(),
    s3InternalKeys: Array.from({ length: INTERNAL_KEYS }, secret),
  };
}

/** Writes a private file whole or not at all; a file that is already there stays. */
export function createOnce(file: string, content: string): void {
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, content, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
