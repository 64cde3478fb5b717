import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { REPOSITORY_ROOT } from '@millrace/embedded';
import type { ServiceProcess } from '@millrace/testing';
import { eventually, startServiceProcess } from '@millrace/testing';
import pg from 'pg';
import { metricCatalog } from '../../scripts/generate/metrics.ts';
import { type StandInCluster, startStandInCluster } from './cluster.ts';
import { objectsOf } from './rendered.ts';
import type { Container, Workload } from './workloads.ts';
import { workloadsOf } from './workloads.ts';

const run = promisify(execFile);
const START_TIMEOUT_MS = 180_000;
const EVERY = 'every service';

let cluster: StandInCluster;
let workloads: readonly Workload[];
const services = new Map<string, ServiceProcess>();
let applied: Record<string, number>;

const containerOf = (workload: Workload): Container => workload.pod.containers[0] as Container;

/** Migrations that are recorded as applied, by schema. */
async function appliedMigrations(): Promise<Record<string, number>> {
  const client = new pg.Client({ connectionString: cluster.database.url });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'millrace_migrations'",
    );
    const counts: Record<string, number> = {};
    for (const { name } of rows) {
      const table = `millrace_migrations.${client.escapeIdentifier(name)}`;
      const counted = await client.query<{ n: number }>(`select count(*)::int as n from ${table}`);
      counts[name] = counted.rows[0]?.n ?? 0;
    }
    return counts;
  } finally {
    await client.end();
  }
}

/** Runs each container of the Job as the image would, from the root of the sources. */
async function migrate(job: Workload): Promise<void> {
  for (const container of job.pod.containers) {
    const [, ...args] = container.command ?? [];
    const env = { PATH: process.env.PATH, ...cluster.environmentOf(job, container) };
    const { stdout } = await run(process.execPath, args, { cwd: REPOSITORY_ROOT, env });
    expect(stdout).toMatch(/is up to date/);
  }
}

/** Starts a service with exactly what its pod would find; ports are free ones, since all are on one machine. */
async function start(workload: Workload, upstreams: NodeJS.ProcessEnv = {}): Promise<ServiceProcess> {
  const env = cluster.environmentOf(workload, containerOf(workload));
  const ports = { MILLRACE_PORT: '0', ...(env.MILLRACE_GRPC_PORT && { MILLRACE_GRPC_PORT: '0' }) };
  const service = await startServiceProcess(workload.component, { ...env, ...ports, ...upstreams });
  services.set(workload.component, service);
  return service;
}

beforeAll(async () => {
  const objects = await objectsOf('defaults');
  cluster = await startStandInCluster(objects);
  const all = workloadsOf(objects);
  const [job] = all.filter(({ component }) => component === 'migrate');
  await migrate(job as Workload);
  applied = await appliedMigrations();
  workloads = all.filter(
    ({ pod, component }) => containerOf({ pod } as Workload).ports && component !== 'migrate',
  );
  const behind = workloads.filter(({ component }) => component !== 'gateway');
  await Promise.all(behind.map((workload) => start(workload)));
  const gateway = workloads.find(({ component }) => component === 'gateway') as Workload;
  const origins = behind.map(({ component }) => [
    `MILLRACE_UPSTREAM_${component.toUpperCase().replaceAll('-', '_')}`,
    services.get(component)?.origin,
  ]);
  await start(gateway, Object.fromEntries(origins) as NodeJS.ProcessEnv);
}, START_TIMEOUT_MS);

afterAll(async () => {
  await Promise.all([...services.values()].map((service) => service.stop()));
  await cluster.stop();
});

test('the Job applies all that the services would, which then find nothing to do', async () => {
  expect(Object.keys(applied)).toHaveLength(workloads.length);
  expect(Object.values(applied).every((count) => count > 0)).toBe(true);
  expect(await appliedMigrations()).toEqual(applied);
});

test('every service starts with the variables and files of its pod, and answers its probes without a key', async () => {
  expect(services.size).toBe(7);
  for (const workload of workloads) {
    const { startupProbe, livenessProbe, readinessProbe } = containerOf(workload);
    const { origin } = services.get(workload.component) as ServiceProcess;
    for (const probe of [startupProbe, livenessProbe, readinessProbe])
      await eventually(
        async () => {
          const { status } = await fetch(`${origin}${probe?.httpGet?.path}`);
          expect([workload.component, probe?.httpGet?.path, status]).toEqual([
            workload.component,
            probe?.httpGet?.path,
            200,
          ]);
        },
        { timeoutMs: 30_000 },
      );
  }
}, 60_000);

test('the gateway reaches every service by its upstreams', async () => {
  const { origin } = services.get('gateway') as ServiceProcess;
  const headers = { authorization: `Bearer ${cluster.adminKey}` };
  const response = await fetch(`${origin}/v1/status`, { headers });
  expect(response.status).toBe(200);
  const { state, services: seen } = (await response.json()) as {
    state: string;
    services: { name: string }[];
  };
  expect([state, seen.length]).toEqual(['ready', services.size]);
});

test('metrics ask for a key, and are those of the catalogue that alerts and dashboards are held against', async () => {
  const catalog = await metricCatalog();
  for (const [component, { origin }] of services) {
    expect((await fetch(`${origin}/metrics`)).status).toBe(401);
    const headers = { authorization: `Bearer ${cluster.adminKey}` };
    const text = await (await fetch(`${origin}/metrics`, { headers })).text();
    const there = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    const known = catalog.filter(({ service }) => service === component || service === EVERY);
    const names = new Set(known.map(({ name, type }) => `${name} ${type}`));
    expect([component, there.filter((name) => !names.has(name))]).toEqual([component, []]);
    const own = known
      .filter(({ service }) => service === component)
      .map(({ name, type }) => `${name} ${type}`);
    expect([component, own.filter((name) => !there.includes(name))]).toEqual([component, []]);
  }
});
