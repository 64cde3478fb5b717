import { expect, test } from '@jest/globals';
import { createPolicyEngine, type Party } from './policy-engine.ts';
import { objectsOf, SETTINGS } from './rendered.ts';
import type { Workload } from './workloads.ts';
import { workloadsOf } from './workloads.ts';

const POSTGRES = 5432;
const NATS = 4222;
const HTTPS = 443;
const DNS = 53;
const PUBLIC: Party = { address: '203.0.113.7' };
const PRIVATE: readonly Party[] = ['10.1.2.3', '172.20.0.1', '192.168.1.1', '169.254.169.254', 'fd00::1'].map(
  (address) => ({ address }),
);
const INGRESS: Party = { namespace: 'gateway-system', labels: { app: 'proxy' } };
const PROMETHEUS: Party = { namespace: 'monitoring', labels: { app: 'prometheus' } };
const STRANGER: Party = { namespace: 'default', labels: { app: 'anything' } };
const RESOLVER: Party = { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };

const portsOf = ({ pod }: Workload): number[] =>
  pod.containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort));
const usesS3 = ({ pod }: Workload): boolean =>
  pod.containers.some(({ env = [] }) => env.some(({ name }) => name === 'MILLRACE_S3_ENDPOINT'));

test.each(SETTINGS)(
  '%s: between pods there are the ways from the gateway to the services, and no other',
  async (setting) => {
    const objects = await objectsOf(setting);
    const reaches = createPolicyEngine(objects);
    const workloads = workloadsOf(objects);
    const open: string[] = [];
    for (const from of workloads)
      for (const to of workloads)
        for (const port of portsOf(to))
          if (reaches(from, to, port)) open.push(`${from.component} -> ${to.component}:${port}`);
    const http = workloads.filter(
      ({ component, pod }) => pod.containers[0]?.ports && component !== 'gateway',
    );
    expect(open.sort()).toEqual(http.map((one) => `gateway -> ${one.component}:${portsOf(one)[0]}`).sort());
  },
);

test.each(SETTINGS)('%s: every port is open to somebody, and none to everybody', async (setting) => {
  const objects = await objectsOf(setting);
  const reaches = createPolicyEngine(objects);
  const isDirect = setting === 'production' || setting === 'everything';
  const client: Party = { labels: { 'millrace.dev/inference-client': 'true' } };
  for (const workload of workloadsOf(objects)) {
    const [http, grpc] = portsOf(workload);
    if (http === undefined) continue;
    const { component } = workload;
    const isPublic = component === 'gateway' || (component === 'inference' && isDirect);
    expect([component, reaches(INGRESS, workload, http)]).toEqual([component, isPublic]);
    expect([component, reaches(PROMETHEUS, workload, http)]).toEqual([component, true]);
    expect([component, reaches(STRANGER, workload, http)]).toEqual([component, false]);
    if (grpc === undefined) continue;
    expect(reaches(isDirect ? INGRESS : client, workload, grpc)).toBe(true);
    for (const nobody of [PROMETHEUS, STRANGER, PUBLIC]) expect(reaches(nobody, workload, grpc)).toBe(false);
  }
});

test.each(SETTINGS)('%s: out go the ways to servers that a pod has keys for', async (setting) => {
  const objects = await objectsOf(setting);
  const reaches = createPolicyEngine(objects);
  const server = PRIVATE[0] as Party;
  for (const workload of workloadsOf(objects)) {
    const { component } = workload;
    const isWorker = component.includes('worker');
    const found = {
      dns: reaches(workload, RESOLVER, DNS, 'UDP'),
      postgres: reaches(workload, server, POSTGRES),
      nats: reaches(workload, server, NATS),
      s3: reaches(workload, server, HTTPS),
      ssh: reaches(workload, server, 22),
    };
    expect([component, found]).toEqual([
      component,
      { dns: true, postgres: !isWorker, nats: component !== 'migrate', s3: usesS3(workload), ssh: false },
    ]);
  }
});

test('webhooks and data sources reach public addresses and no private one', async () => {
  const objects = await objectsOf('everything');
  const reaches = createPolicyEngine(objects);
  for (const workload of workloadsOf(objects)) {
    const isOpen = ['gateway', 'analysis-worker'].includes(workload.component);
    expect([workload.component, reaches(workload, PUBLIC, 80)]).toEqual([workload.component, isOpen]);
    for (const address of PRIVATE) expect(reaches(workload, address, 80)).toBe(false);
  }
});

test('the ways are those of the policies: without them everything is open', async () => {
  const objects = (await objectsOf('defaults')).filter(({ kind }) => kind !== 'NetworkPolicy');
  const reaches = createPolicyEngine(objects);
  const [from, to] = workloadsOf(objects);
  expect(reaches(from as Workload, to as Workload, 1)).toBe(true);
});
