import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey } from '@millrace/service-kit';
import type { ServiceProcess } from '@millrace/testing';
import { createTestBucket, createTestDatabase, startNats, startServiceProcess } from '@millrace/testing';

/** Every service behind a gateway that asks for keys, on servers of its own; no workers. */
export type ServiceStack = {
  readonly origin: string;
  /** Key of the platform's first admin. */
  readonly adminKey: string;
  stop(): Promise<void>;
};

const BEHIND = [
  'registry',
  'inference',
  'datasets',
  'training-orchestrator',
  'converter',
  'monitoring',
] as const;

export async function startServiceStack(): Promise<ServiceStack> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-stack-'));
  const [nats, database, bucket] = await Promise.all([startNats(), createTestDatabase(), createTestBucket()]);
  const [signing, gatewayKeys] = [generateKeyPair(), generateKeyPair()];
  const { key: adminKey } = createApiKey('bootstrap');
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const env = {
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_S3_ENDPOINT: bucket.endpoint,
    MILLRACE_S3_REGION: bucket.region,
    MILLRACE_S3_BUCKET: bucket.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: bucket.accessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
    MILLRACE_AUTH_MODE: 'required',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: file('gateway.pub.pem', gatewayKeys.publicKeyPem),
    MILLRACE_AUTH_KEY_FILE: file('gateway.pem', gatewayKeys.privateKeyPem),
    MILLRACE_BOOTSTRAP_TOKEN_FILE: file('token', adminKey),
    MILLRACE_SIGNING_KEY_FILE: file('registry.pem', signing.privateKeyPem),
    MILLRACE_SIGNING_PUBLIC_KEY_FILE: file('registry.pub.pem', signing.publicKeyPem),
    MILLRACE_CACHE_DIR: join(folder, 'cache'),
    MILLRACE_FRONTS: '1',
  };
  const started: ServiceProcess[] = [];
  const start = async (name: string, more: NodeJS.ProcessEnv = {}): Promise<ServiceProcess> => {
    const service = await startServiceProcess(name, { ...env, ...more });
    started.push(service);
    return service;
  };
  const upstreams: NodeJS.ProcessEnv = {};
  for (const name of BEHIND) {
    const variable = `MILLRACE_UPSTREAM_${name.toUpperCase().replaceAll('-', '_')}`;
    upstreams[variable] = (await start(name)).origin;
  }
  const gateway = await start('gateway', upstreams);
  return {
    origin: gateway.origin,
    adminKey,
    async stop() {
      await Promise.all(started.map((service) => service.stop()));
      await Promise.all([nats.stop(), database.drop(), bucket.drop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
