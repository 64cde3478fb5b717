import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { streamCatalog } from '@millrace/bus';
import { REPOSITORY_ROOT, SERVICE_NAMES } from '@millrace/embedded';
import { loadConfig } from '@millrace/service-kit';
import type { KubeObject } from '../../scripts/generate/chart.ts';
import { objectsOf, SETTINGS } from './rendered.ts';
import type { Container, Variable } from './workloads.ts';
import { ofKind, workloadsOf } from './workloads.ts';

type Claim = { metadata: { name: string }; spec: { resources: { requests: { storage: string } } } };
type ConfigSchema = Parameters<typeof loadConfig>[0];

/** Variables of Node and Python themselves. */
const STANDARD = new Set(['HOME', 'NODE_COMPILE_CACHE', 'PYTHONUNBUFFERED']);
/** Values of secrets, by the end of the name of their variable: what each must look like. */
const SECRET_VALUES: readonly [RegExp, string][] = [
  [/DATABASE_URL$/, 'postgres://user@postgres/millrace'],
  [/NATS_URL$/, 'tls://user@nats:4222'],
  [/./, 'text'],
];
const isService = (component: string): boolean => SERVICE_NAMES.some((name) => name === component);
const text = (file: string): string => readFileSync(join(REPOSITORY_ROOT, file), 'utf8');

/** The config schema that a service loads, whatever it is called. */
async function schemaOf(service: string): Promise<ConfigSchema> {
  const module = (await import(`../../services/${service}/src/config.ts`)) as Record<string, unknown>;
  const schema = Object.values(module).find(
    (value) => typeof value === 'object' && value !== null && 'properties' in value,
  );
  if (schema === undefined) throw new Error(`${service} has no config schema`);
  return schema as ConfigSchema;
}

/** The value a variable has in the cluster; that of a secret only looks like one. */
function textOf(variable: Variable, objects: readonly KubeObject[]): string {
  const { name, value, valueFrom } = variable;
  if (value !== undefined) return value;
  if (valueFrom?.secretKeyRef !== undefined)
    return SECRET_VALUES.find(([pattern]) => pattern.test(name))?.[1] ?? '';
  const from = valueFrom?.configMapKeyRef;
  const map = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === from?.name);
  const found = (map?.data as Record<string, string> | undefined)?.[from?.key ?? ''];
  if (found === undefined) throw new Error(`${name}: there is no ${from?.name}/${from?.key}`);
  return found;
}

const environmentOf = (container: Container | undefined, objects: readonly KubeObject[]): NodeJS.ProcessEnv =>
  Object.fromEntries((container?.env ?? []).map((variable) => [variable.name, textOf(variable, objects)]));

test.each(SETTINGS)(
  '%s: each service is given what it reads, all that it needs, and nothing else',
  async (setting) => {
    const objects = await objectsOf(setting);
    const services = workloadsOf(objects).filter(({ component }) => isService(component));
    expect(services.map(({ component }) => component).sort()).toEqual([...SERVICE_NAMES].sort());
    for (const { component, pod } of services) {
      const env = environmentOf(pod.containers[0], objects);
      // it throws with every fault: what is missing, what is not of its type
      const { config, unknownNames } = loadConfig(await schemaOf(component), env);
      expect([component, unknownNames]).toEqual([component, []]);
      expect(config).toMatchObject({ authMode: 'required', host: '0.0.0.0' });
      const names = (pod.containers[0]?.env ?? []).map(({ name }) => name);
      expect(names.filter((name) => !name.startsWith('MILLRACE_') && !STANDARD.has(name))).toEqual([]);
      expect(new Set(names).size).toBe(names.length);
      const { port, grpcPort } = config as { port: number; grpcPort?: number };
      const ports = pod.containers[0]?.ports?.map(({ containerPort }) => containerPort);
      expect(ports).toEqual([port, ...(grpcPort === undefined ? [] : [grpcPort])]);
    }
  },
);

const UNITS: Readonly<Record<string, number>> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 };
const bytesOf = (quantity = ''): number => Number.parseFloat(quantity) * (UNITS[quantity.slice(-2)] ?? 1);

test.each(SETTINGS)('%s: what inference may keep fits its volume and its memory', async (setting) => {
  const objects = await objectsOf(setting);
  const [workload] = workloadsOf(objects).filter(({ component }) => component === 'inference');
  const container = workload?.pod.containers[0];
  const { config } = loadConfig(await schemaOf('inference'), environmentOf(container, objects));
  const bounds = config as { cacheBytesMax: number; loadedBytesMax: number; hostMemoryBytesMax: number };
  const spec = workload?.object.spec as { volumeClaimTemplates: Claim[] } | undefined;
  const claim = spec?.volumeClaimTemplates[0];
  expect(bytesOf(claim?.spec.resources.requests.storage)).toBeGreaterThan(bounds.cacheBytesMax * 1.2);
  const memory = bytesOf(container?.resources?.limits?.memory);
  expect(memory).toBeGreaterThan(bounds.loadedBytesMax + bounds.hostMemoryBytesMax);
});

test('a variable that is not there, and one that is missing, are seen', async () => {
  const objects = await objectsOf('defaults');
  const [registry] = workloadsOf(objects).filter(({ component }) => component === 'registry');
  const env = environmentOf(registry?.pod.containers[0], objects);
  const schema = await schemaOf('registry');
  expect(loadConfig(schema, { ...env, MILLRACE_S3_BUKET: 'x' }).unknownNames).toEqual(['MILLRACE_S3_BUKET']);
  expect(() => loadConfig(schema, { ...env, MILLRACE_NATS_URL: '' })).toThrow(/MILLRACE_NATS_URL is not set/);
});

/** What `read_settings` of the workers asks for, and what their READMEs add. */
function workerVariables(worker: string): { required: string[]; known: Set<string> } {
  const settings = text('libs/worker-py/src/millrace_worker/settings.py');
  const required = [...settings.matchAll(/required\(\s*"(MILLRACE_\w+)"/g)].map(([, name = '']) => name);
  const chosen = [...settings.matchAll(/choice\(\s*"(MILLRACE_\w+)"/g)].map(([, name = '']) => name);
  const rows = text(`services/${worker}/README.md`).matchAll(/^\| `(MILLRACE_\w+)` \|/gm);
  return { required, known: new Set([...required, ...chosen, ...[...rows].map(([, name = '']) => name)]) };
}

/** Kinds of jobs that a worker does, as it says itself. */
function kindsOf(worker: string): string[] {
  const [file = ''] = globSync(`services/${worker}/src/*/worker.py`, { cwd: REPOSITORY_ROOT });
  const [, kinds = ''] = /service_by_kind=\{([^}]*)\}/.exec(text(file)) ?? [];
  return [...kinds.matchAll(/'(\w+)':/g)].map(([, kind = '']) => kind);
}

const workerOf = (component: string): string => component.replace(/-(torch|gpu)$/, '');

test.each(SETTINGS)('%s: each worker is given what it reads and all that it needs', async (setting) => {
  const objects = await objectsOf(setting);
  const workers = workloadsOf(objects).filter(({ component }) => component.includes('worker'));
  expect(workers.length).toBeGreaterThanOrEqual(2);
  for (const { component, pod } of workers) {
    const { required, known } = workerVariables(workerOf(component));
    expect(required.length).toBeGreaterThan(6);
    const env = environmentOf(pod.containers[0], objects);
    expect([component, required.filter((name) => !env[name])]).toEqual([component, []]);
    const names = Object.keys(env).filter((name) => !STANDARD.has(name));
    expect([component, names.filter((name) => !known.has(name))]).toEqual([component, []]);
    expect(pod.containers[0]?.volumeMounts).toContainEqual({
      name: 'cache',
      mountPath: env.MILLRACE_WORKER_CACHE_DIR,
    });
  }
});

test('each pool scales by the durables that its worker pulls from, no more and no fewer', async () => {
  const objects = await objectsOf('everything');
  type Trigger = { type: string; metadata: Record<string, string> };
  const scaled = ofKind<{ triggers: Trigger[] }>(objects, 'ScaledObject');
  const workers = workloadsOf(objects).filter(({ component }) => component.includes('worker'));
  expect(scaled).toHaveLength(workers.length);
  for (const { object, component, pod } of workers) {
    const pool = pod.containers[0]?.env?.find(({ name }) => name === 'MILLRACE_WORKER_POOL')?.value;
    const { spec } = scaled.find(({ metadata }) => metadata.name === object.metadata.name) ?? {};
    expect(spec?.triggers.map(({ metadata }) => metadata.consumer).sort()).toEqual(
      kindsOf(workerOf(component))
        .map((kind) => `${kind}-${pool}`)
        .sort(),
    );
    for (const { type, metadata } of spec?.triggers ?? [])
      expect([type, metadata.stream]).toEqual(['nats-jetstream', streamCatalog.jobs.name]);
  }
});

test.each(SETTINGS)('%s: what is referred to by name is there', async (setting) => {
  const objects = await objectsOf(setting);
  const external = new Set(ofKind(objects, 'ExternalSecret').map(({ metadata }) => metadata.name));
  const services = new Map(
    ofKind<{ ports: { name: string; port: number }[] }>(objects, 'Service').map((one) => [
      one.metadata.name,
      one.spec.ports,
    ]),
  );
  for (const { component, object, pod } of workloadsOf(objects)) {
    const { volumeClaimTemplates = [] } = object.spec as {
      volumeClaimTemplates?: Claim[];
    };
    const claims = volumeClaimTemplates.map(({ metadata }) => metadata.name);
    const mounted = new Set([...claims, ...(pod.volumes ?? []).map(({ name }) => name)]);
    const files = (pod.volumes ?? []).flatMap(({ secret, projected }) => [
      ...(secret === undefined ? [] : [secret.secretName]),
      ...(projected?.sources ?? []).flatMap((source) => source.secret?.name ?? []),
    ]);
    if (external.size > 0) expect(files.filter((name) => !external.has(name))).toEqual([]);
    for (const { env = [], volumeMounts = [] } of pod.containers) {
      expect(volumeMounts.filter(({ name }) => !mounted.has(name))).toEqual([]);
      for (const { name, value, valueFrom } of env) {
        const secret = valueFrom?.secretKeyRef?.name;
        if (external.size > 0 && secret !== undefined) expect([...external]).toContain(secret);
        if (!name.startsWith('MILLRACE_UPSTREAM_')) continue;
        const { hostname, port } = new URL(value ?? '');
        expect([component, services.get(hostname)?.[0]?.port]).toEqual([component, Number(port)]);
      }
    }
    if (component !== 'migrate') continue;
    for (const { command = [] } of pod.containers)
      for (const path of command.filter((part) => part.includes('/') && !part.startsWith('/')))
        expect([path, existsSync(join(REPOSITORY_ROOT, path))]).toEqual([path, true]);
  }
});
