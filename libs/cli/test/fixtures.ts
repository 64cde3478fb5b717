import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair } from '@millrace/integrity';
import type { ServiceProcess } from '@millrace/testing';
import { createTestBucket, createTestDatabase, startNats, startServiceProcess } from '@millrace/testing';
import { runCli } from '../src/run.ts';

/** An address where nothing listens. */
export const NOWHERE = 'http://127.0.0.1:9';

/** A gateway and a registry as processes on real servers, and a home folder that leads the command line to them. */
export type Platform = {
  home: string;
  gateway: ServiceProcess;
  database: string;
  s3: TestS3;
  stop(): Promise<void>;
};
type TestS3 = Awaited<ReturnType<typeof createTestBucket>>;

/** With `datasets` where a test needs that service as well. */
export async function startPlatform(more: { datasets?: boolean } = {}): Promise<Platform> {
  // a server of its own: gateways of other tests send key sets too
  const [nats, database, bucket] = await Promise.all([startNats(), createTestDatabase(), createTestBucket()]);
  const home = mkdtempSync(join(tmpdir(), 'millrace-cli-test-'));
  const started: ServiceProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const service of started.toReversed()) await service.stop();
    await database.drop();
    await bucket.drop();
    await nats.stop();
    rmSync(home, { recursive: true });
  };
  try {
    return await startServices(home, { nats, database, bucket, ...more }, started, stop);
  } catch (error) {
    // jest never ends while one of them is open
    await stop();
    throw error;
  }
}

type Servers = {
  nats: Awaited<ReturnType<typeof startNats>>;
  database: Awaited<ReturnType<typeof createTestDatabase>>;
  bucket: TestS3;
  datasets?: boolean;
};

/** Starts both services, adds each to `started` once it runs, and writes the home folder. */
async function startServices(
  home: string,
  { nats, database, bucket, datasets = false }: Servers,
  started: ServiceProcess[],
  stop: () => Promise<void>,
): Promise<Platform> {
  mkdirSync(join(home, 'keys'));
  const write = (name: string, text: string) => {
    writeFileSync(join(home, 'keys', name), text, { mode: 0o600 });
    return join(home, 'keys', name);
  };
  const [registryKeys, gatewayKeys] = [generateKeyPair(), generateKeyPair()];
  const token = `mlr_bootstrap_${'A'.repeat(43)}`;
  const shared = {
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_NATS_INBOX_PREFIX: '_INBOX_services',
    MILLRACE_AUTH_MODE: 'required',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: write('gateway.pub.pem', gatewayKeys.publicKeyPem),
  };
  const store = {
    MILLRACE_S3_ENDPOINT: bucket.endpoint,
    MILLRACE_S3_REGION: bucket.region,
    MILLRACE_S3_BUCKET: bucket.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: bucket.accessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
  };
  const registry = await startServiceProcess('registry', {
    ...shared,
    ...store,
    MILLRACE_SIGNING_KEY_FILE: write('registry.pem', registryKeys.privateKeyPem),
  });
  started.push(registry);
  write('registry.pub.pem', registryKeys.publicKeyPem);
  const data = datasets ? await startServiceProcess('datasets', { ...shared, ...store }) : undefined;
  if (data !== undefined) started.push(data);
  const gateway = await startServiceProcess('gateway', {
    ...shared,
    MILLRACE_AUTH_KEY_FILE: write('gateway.pem', gatewayKeys.privateKeyPem),
    MILLRACE_BOOTSTRAP_TOKEN_FILE: write('token', token),
    MILLRACE_UPSTREAM_REGISTRY: registry.origin,
    ...Object.fromEntries(
      ['DATASETS', 'TRAINING_ORCHESTRATOR', 'CONVERTER', 'INFERENCE', 'MONITORING'].map((name) => [
        `MILLRACE_UPSTREAM_${name}`,
        NOWHERE,
      ]),
    ),
    ...(data !== undefined && { MILLRACE_UPSTREAM_DATASETS: data.origin }),
  });
  started.push(gateway);
  const { endpoint, region, accessKeyId, secretAccessKey } = bucket;
  const s3 = { endpoint, region, bucket: bucket.bucket, accessKeyId, secretAccessKey };
  const connection = { gateway: gateway.origin, token, database: database.url, nats: nats.servicesUrl, s3 };
  writeFileSync(join(home, 'connection.json'), JSON.stringify(connection), { mode: 0o600 });
  return { home, gateway, database: database.url, s3: bucket, stop };
}

/** Runs one command line and returns what it wrote. */
export async function millrace(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; input?: string } = {},
): Promise<{ code: number; out: string; err: string; json: () => Record<string, unknown> }> {
  let out = '';
  let err = '';
  const code = await runCli(args, {
    env: options.env ?? {},
    cwd: options.cwd ?? tmpdir(),
    isTerminal: false,
    signal: new AbortController().signal,
    readInput: async () => options.input ?? '',
    write: (text) => {
      out += text;
    },
    writeError: (text) => {
      err += text;
    },
  });
  return { code, out, err, json: () => JSON.parse(out) as Record<string, unknown> };
}
