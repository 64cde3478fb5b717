import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey } from '@millrace/service-kit';
import type { PrivateNats, TestBucket, TestDatabase } from '@millrace/testing';
import { createTestBucket, createTestDatabase, startNats } from '@millrace/testing';
import type { KubeObject } from '../../scripts/generate/chart.ts';
import type { Container, Variable, Workload } from './workloads.ts';

/** Secrets by name, each with its keys. */
type Secrets = Record<string, Record<string, string>>;

/** The servers and Secrets that a cluster would have, and what its pods would find with them. */
export type StandInCluster = {
  /** Key of the platform's first admin. */
  readonly adminKey: string;
  readonly database: TestDatabase;
  /** The environment of a container, with paths of its volumes in a folder of this test. */
  environmentOf(workload: Workload, container: Container): NodeJS.ProcessEnv;
  stop(): Promise<void>;
};

/** Real servers behind the Secrets that the chart names; values of ConfigMaps are the chart's own but for the bucket. */
export async function startStandInCluster(objects: readonly KubeObject[]): Promise<StandInCluster> {
  const [nats, database, bucket] = await Promise.all([startNats(), createTestDatabase(), createTestBucket()]);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-cluster-'));
  const { key: adminKey } = createApiKey('bootstrap');
  const secrets = secretsFor({ nats, database, bucket, adminKey });
  const settings: Record<string, string> = {
    's3-endpoint': bucket.endpoint,
    's3-region': bucket.region,
    's3-bucket': bucket.bucket,
  };
  const textOf = ({ name, value, valueFrom }: Variable): string => {
    if (value !== undefined) return value;
    const { secretKeyRef, configMapKeyRef } = valueFrom ?? {};
    const found =
      secretKeyRef === undefined
        ? (settings[configMapKeyRef?.key ?? ''] ?? configValue(objects, configMapKeyRef))
        : secrets[secretKeyRef.name]?.[secretKeyRef.key];
    if (found === undefined) throw new Error(`${name}: nothing is called ${JSON.stringify(valueFrom)}`);
    return found;
  };
  return {
    adminKey,
    database,
    environmentOf(workload, container) {
      const mounts = mountVolumes(join(folder, workload.component), workload, container, secrets);
      const entries = (container.env ?? []).map((variable) => [
        variable.name,
        onDisk(textOf(variable), mounts),
      ]);
      return Object.fromEntries(entries) as NodeJS.ProcessEnv;
    },
    async stop() {
      await Promise.all([nats.stop(), database.drop(), bucket.drop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function secretsFor(servers: {
  nats: PrivateNats;
  database: TestDatabase;
  bucket: TestBucket;
  adminKey: string;
}): Secrets {
  const [signing, gateway] = [generateKeyPair(), generateKeyPair()];
  const { nats, database, bucket, adminKey } = servers;
  return {
    'millrace-database': { url: database.url },
    'millrace-nats': { 'services-url': nats.servicesUrl },
    'millrace-s3': { 'access-key-id': bucket.accessKeyId, 'secret-access-key': bucket.secretAccessKey },
    'millrace-public-keys': {
      'gateway.pub.pem': gateway.publicKeyPem,
      'registry.pub.pem': signing.publicKeyPem,
    },
    'millrace-gateway-key': { 'gateway.pem': gateway.privateKeyPem, token: adminKey },
    'millrace-registry-key': { 'registry.pem': signing.privateKeyPem },
  };
}

function configValue(
  objects: readonly KubeObject[],
  from: { name: string; key: string } | undefined,
): string | undefined {
  const map = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === from?.name);
  return (map?.data as Record<string, string> | undefined)?.[from?.key ?? ''];
}

/** Makes the volumes of a pod as folders; only the Secrets that are mounted are there. Gives folder by mount path. */
function mountVolumes(
  root: string,
  { pod }: Workload,
  container: Container,
  secrets: Secrets,
): ReadonlyMap<string, string> {
  const mounts = new Map<string, string>();
  for (const { name, mountPath } of container.volumeMounts ?? []) {
    // temporary files and shared memory are the machine's own
    if (mountPath === '/tmp' || mountPath === '/dev/shm') continue;
    const folder = join(root, name);
    mkdirSync(folder, { recursive: true });
    mounts.set(mountPath, folder);
    const volume = pod.volumes?.find((one) => one.name === name);
    for (const source of volume?.projected?.sources ?? [])
      for (const [file, text] of Object.entries(secrets[source.secret?.name ?? ''] ?? {}))
        writeFileSync(join(folder, file), text, { mode: 0o600 });
  }
  return mounts;
}

function onDisk(value: string, mounts: ReadonlyMap<string, string>): string {
  for (const [mountPath, folder] of mounts)
    if (value === mountPath || value.startsWith(`${mountPath}/`))
      return folder + value.slice(mountPath.length);
  return value;
}
