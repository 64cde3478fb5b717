import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureKeys, type KeyFiles } from '../../../infra/embedded/src/keys.ts';
import { natsConfig } from '../../../infra/embedded/src/nats-config.ts';
import { identities, securityToml } from '../../../infra/embedded/src/seaweedfs-config.ts';
import { loadSecrets, type Secrets } from '../../../infra/embedded/src/secrets.ts';
import { ensureCluster } from './postgres-cluster.ts';
import { DATABASE, secretVariables } from './secret-variables.ts';

/**
 * `setup.ts`, in the container `setup` of infra/compose.yaml: makes the keys and passwords of a deployment once, gives
 * each part its own through a volume that only this part can read, and makes the database cluster. Run again it changes
 * nothing but what is missing. `setup.ts token` prints the first admin key.
 */

const VOLUMES = '/volumes';
const BUCKET = 'millrace';

/** Writes a file whole, readable by its owner alone, who is the user of every container. */
function put(volume: string, name: string, content: string): void {
  const file = join(VOLUMES, volume, name);
  writeFileSync(`${file}.draft`, content, { mode: 0o600 });
  renameSync(`${file}.draft`, file);
}

function give(volume: string, file: string, name: string): void {
  const target = join(VOLUMES, volume, name);
  copyFileSync(file, `${target}.draft`);
  renameSync(`${target}.draft`, target);
}

function distribute(keys: KeyFiles, secrets: Secrets): void {
  for (const volume of ['gateway', 'registry', 'services']) {
    put(volume, 'service.env', secretVariables(secrets, 'services'));
    give(volume, keys.gatewayPublic, 'gateway.pub.pem');
    give(volume, keys.registryPublic, 'registry.pub.pem');
  }
  give('gateway', keys.gatewayPrivate, 'gateway.pem');
  give('gateway', keys.token, 'token');
  give('registry', keys.registryPrivate, 'registry.pem');
  put('workers', 'worker.env', secretVariables(secrets, 'worker'));
  put(
    'nats',
    'nats.conf',
    natsConfig({
      host: '0.0.0.0',
      port: 4222,
      store: '/data/jetstream',
      servicesPassword: secrets.natsServicesPassword,
      workerPassword: secrets.natsWorkerPassword,
    }),
  );
  const services = {
    accessKeyId: secrets.s3ServicesAccessKeyId,
    secretAccessKey: secrets.s3ServicesSecretAccessKey,
  };
  const worker = {
    accessKeyId: secrets.s3WorkerAccessKeyId,
    secretAccessKey: secrets.s3WorkerSecretAccessKey,
  };
  put('s3', 's3.json', identities({ bucket: BUCKET, services, worker }));
  put('s3', 'security.toml', securityToml(secrets.s3InternalKeys));
}

const platform = join(VOLUMES, 'platform');
if (process.argv[2] === 'token') {
  process.stdout.write(readFileSync(join(platform, 'token'), 'utf8'));
} else {
  const secrets = loadSecrets(platform);
  distribute(ensureKeys(platform), secrets);
  ensureCluster({
    folder: join(VOLUMES, 'postgres'),
    superuser: 'millrace',
    password: secrets.postgresPassword,
    database: DATABASE,
  });
  process.stdout.write('Keys, passwords and the database cluster are in their volumes.\n');
}
