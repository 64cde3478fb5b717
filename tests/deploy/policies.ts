import { expect, test } from '@jest/globals';
import { objectsOf, SETTINGS } from './rendered.ts';
import type { Container, PodSpec } from './workloads.ts';
import { ofKind, workloadsOf } from './workloads.ts';

/** Variables whose values nobody may read in a manifest. */
const SECRET_NAMES = /PASSWORD|SECRET|TOKEN$|ACCESS_KEY|DATABASE_URL|NATS_URL|SIGNING_KEY$|CREDENTIAL/;
/** Texts that look like a key whatever the variable is called. */
const SECRET_VALUES = /-----BEGIN|mlr_[0-9a-z]+_[\w-]{20}|:\/\/[^/\s:]+:[^@\s]+@|AKIA[0-9A-Z]{16}/;
/** A service closes within 25 s by itself (`CLOSE_TIMEOUT_MS`). */
const CLOSE_SECONDS = 25;
const IMAGE = /^(?:[\w.-]+(?::\d+)?\/)*millrace\/[a-z-]+(?::\d[\w.-]*|@sha256:[0-9a-f]{64})$/;

const containersOf = (pod: PodSpec): Container[] => [...(pod.initContainers ?? []), ...pod.containers];

/** One fault a line, so that a failure names what to mend. */
function faultsOfPod(where: string, pod: PodSpec): string[] {
  const faults: string[] = [];
  const need = (holds: boolean, what: string): void => void (holds || faults.push(`${where}: ${what}`));
  const { runAsNonRoot, runAsUser, seccompProfile } = pod.securityContext ?? {};
  need(runAsNonRoot === true && Number(runAsUser) >= 1000, 'may run as root');
  need(
    (seccompProfile as { type?: string } | undefined)?.type === 'RuntimeDefault',
    'has no seccomp profile',
  );
  need(pod.automountServiceAccountToken === false, "holds a token of the cluster's API");
  need(pod.enableServiceLinks === false, 'gets MILLRACE_* variables from Services');
  for (const key of ['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace'])
    need(!(key in pod), `sets ${key}`);
  for (const volume of pod.volumes ?? []) {
    const kinds = Object.keys(volume).filter((key) => key !== 'name');
    need(
      ['emptyDir', 'secret', 'configMap', 'projected'].includes(kinds[0] ?? ''),
      `volume ${volume.name} is a ${kinds[0]}`,
    );
    if (volume.emptyDir) need(volume.emptyDir.sizeLimit !== undefined, `volume ${volume.name} has no bound`);
  }
  for (const container of containersOf(pod))
    faults.push(...faultsOfContainer(`${where}/${container.name}`, container));
  return faults;
}

function faultsOfContainer(where: string, container: Container): string[] {
  const faults: string[] = [];
  const need = (holds: boolean, what: string): void => void (holds || faults.push(`${where}: ${what}`));
  const security = container.securityContext ?? {};
  need(security.allowPrivilegeEscalation === false, 'may gain privileges');
  need(security.readOnlyRootFilesystem === true, 'may write to its image');
  need(security.privileged === undefined, 'is privileged');
  need(
    JSON.stringify(security.capabilities) === '{"drop":["ALL"]}',
    `has capabilities ${JSON.stringify(security.capabilities)}`,
  );
  need(IMAGE.test(container.image), `image ${container.image} has no fixed version`);
  for (const amount of ['requests', 'limits'] as const)
    for (const resource of ['cpu', 'memory'])
      need(container.resources?.[amount]?.[resource] !== undefined, `${amount} no ${resource}`);
  for (const { name, value } of container.env ?? []) {
    need(value === undefined || !SECRET_NAMES.test(name), `${name} is written out`);
    need(value === undefined || !SECRET_VALUES.test(value), `${name} holds a key`);
  }
  return faults;
}

test.each(SETTINGS)(
  '%s: pods keep to the restricted standard, bounded and without secrets',
  async (setting) => {
    const workloads = workloadsOf(await objectsOf(setting));
    expect(workloads.length).toBeGreaterThan(8);
    expect(workloads.flatMap(({ object, pod }) => faultsOfPod(object.metadata.name, pod))).toEqual([]);
  },
);

test('the runtime of KServe keeps to it as well', async () => {
  const [runtime] = ofKind<PodSpec>(await objectsOf('everything'), 'ClusterServingRuntime');
  const [container] = runtime?.spec.containers ?? [];
  if (container === undefined) throw new Error('there is no runtime');
  expect(faultsOfContainer('kserve', container)).toEqual([]);
  expect(container.securityContext).toMatchObject({
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  });
});

test('the rules see what they forbid', () => {
  const pod: PodSpec = {
    serviceAccountName: 'default',
    containers: [
      {
        name: 'bad',
        image: 'millrace/gateway:latest',
        env: [
          { name: 'MILLRACE_DATABASE_URL', value: 'postgres://me:pass@db/millrace' },
          { name: 'MILLRACE_NOTE', value: '-----BEGIN PRIVATE KEY-----' },
        ],
      },
    ],
    volumes: [{ name: 'host', hostPath: { path: '/' } } as never, { name: 'tmp', emptyDir: {} }],
  };
  const faults = faultsOfPod('pod', pod);
  for (const part of [
    'root',
    'seccomp',
    'token',
    'variables from',
    'hostPath',
    'no bound',
    'gain',
    'write to its image',
    'capabilities',
    'no fixed version',
    'limits no memory',
    'URL is written out',
    'NOTE holds a key',
  ])
    expect(faults.some((fault) => fault.includes(part))).toBe(true);
});

test.each(SETTINGS)(
  '%s: who listens has all three probes and drains; who does not has one',
  async (setting) => {
    for (const { component, object, pod } of workloadsOf(await objectsOf(setting))) {
      if (object.kind === 'Job') continue;
      const [container] = pod.containers;
      if (container === undefined) throw new Error(`${component} has no container`);
      if (container.ports === undefined) {
        expect([component, container.livenessProbe?.exec?.command.length]).toEqual([component, 3]);
        expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(CLOSE_SECONDS);
        continue;
      }
      expect(container.startupProbe?.httpGet).toEqual({ path: '/health/live', port: 'http' });
      expect(container.livenessProbe?.httpGet).toEqual({ path: '/health/live', port: 'http' });
      expect(container.readinessProbe?.httpGet).toEqual({ path: '/health/ready', port: 'http' });
      const drainSeconds = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
      expect(drainSeconds).toBeGreaterThan(0);
      expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(drainSeconds + CLOSE_SECONDS);
    }
  },
);

test.each(SETTINGS)(
  '%s: every workload has a budget, a spread and an account of its own',
  async (setting) => {
    const objects = await objectsOf(setting);
    const workloads = workloadsOf(objects).filter(({ object }) => object.kind !== 'Job');
    const budgets = ofKind<{ maxUnavailable: number; selector: { matchLabels: Record<string, string> } }>(
      objects,
      'PodDisruptionBudget',
    );
    const accounts = new Map(
      objects
        .filter(({ kind }) => kind === 'ServiceAccount')
        .map((account) => [account.metadata.name, account]),
    );
    for (const { object, component, labels, pod } of workloads) {
      const own = budgets.filter(({ spec }) =>
        Object.entries(spec.selector.matchLabels).every(([name, value]) => labels[name] === value),
      );
      expect([component, own.length]).toEqual([component, 1]);
      expect(pod.topologySpreadConstraints).toHaveLength(2);
      expect(pod.serviceAccountName).toBe(object.metadata.name);
      expect(accounts.get(pod.serviceAccountName)).toMatchObject({ automountServiceAccountToken: false });
    }
  },
);

test.each(SETTINGS)('%s: no private key is mounted but where it is used', async (setting) => {
  const readers = workloadsOf(await objectsOf(setting)).flatMap(({ component, pod }) =>
    (pod.volumes ?? []).flatMap(({ projected, secret }) => [
      ...(projected?.sources ?? []).map((source) => `${component} ${source.secret?.name}`),
      ...(secret === undefined ? [] : [`${component} ${secret.secretName}`]),
    ]),
  );
  const secret = readers.filter((reader) => !reader.endsWith('millrace-public-keys')).sort();
  const sources = setting === 'everything' ? ['analysis-worker millrace-sources'] : [];
  expect(secret).toEqual([...sources, 'gateway millrace-gateway-key', 'registry millrace-registry-key']);
});
