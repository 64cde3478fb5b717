import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import type { KubeObject } from '../../scripts/generate/chart.ts';
import { identityOf, lintChart, tryRender } from '../../scripts/generate/chart.ts';
import { objectsOf, rendered, SETTINGS } from './rendered.ts';
import { ofKind, workloadsOf } from './workloads.ts';

const GOLDEN = join(import.meta.dirname, 'goldens');
/** Severity of Helm's findings from which on something is wrong: warnings and errors. */
const WARNING = 2;
/** The first use of Helm fetches it: some 80 MB. */
const FETCH_TIMEOUT_MS = 300_000;

beforeAll(async () => void (await rendered()), FETCH_TIMEOUT_MS);

test("Helm's own lint has nothing to say", async () => {
  const { messages } = await lintChart();
  expect(messages.filter(({ severity }) => severity >= WARNING)).toEqual([]);
});

test.each(SETTINGS)('%s: the objects are those of its golden', async (setting) => {
  const names = (await objectsOf(setting)).map(identityOf).sort();
  expect(`${names.join('\n')}\n`).toBe(readFileSync(join(GOLDEN, `${setting}.txt`), 'utf8'));
});

test.each(SETTINGS)('%s: no object is there twice', async (setting) => {
  const names = (await objectsOf(setting)).map(identityOf);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});

test('values that nobody reads or that cannot work are refused by name', async () => {
  const wrong = [
    [{ replicas: 3 }, /replicas/],
    [{ image: { tag: 'latest' } }, /image.*tag|\/image\/tag/],
    [{ services: { gateway: { port: 'http' } } }, /port/],
    [{ services: { gateway: { env: { LOG_LEVEL: 'debug' } } } }, /LOG_LEVEL/],
    [{ workers: { 'training-worker': { pool: 'tpu' } } }, /pool/],
    [{ route: { kind: 'istio' } }, /kind/],
    [{ podSecurity: { uid: 0 } }, /uid/],
    [{ settings: { s3Endpoint: 's3.example.com' } }, /s3Endpoint/],
  ] as const;
  const answers = await tryRender(wrong.map(([values]) => values));
  for (const [i, [, pattern]] of wrong.entries())
    expect(String((answers[i] as { error?: string }).error)).toMatch(pattern);
});

test('an image is named by registry, repository and tag, or by its digest', async () => {
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
  const [answer] = await tryRender([{ image: { registry: 'r.example.com', digests: { registry: digest } } }]);
  const text = (answer as Record<string, string>)['millrace/templates/services.yaml'] ?? '';
  expect(text).toContain(`image: r.example.com/millrace/registry@${digest}\n`);
  expect(text).toMatch(/image: r\.example\.com\/millrace\/gateway:\d/);
});

test('a pool with GPUs asks for them, goes to their nodes and tolerates their taint; no other does', async () => {
  for (const { component, pod } of workloadsOf(await objectsOf('everything'))) {
    const [container] = pod.containers;
    const isGpu = component.endsWith('-gpu');
    expect([component, container?.resources?.limits?.['nvidia.com/gpu']]).toEqual([
      component,
      isGpu ? '1' : undefined,
    ]);
    expect(pod.nodeSelector?.['nvidia.com/gpu.present']).toBe(isGpu ? 'true' : undefined);
    expect(pod.tolerations?.some(({ key }) => key === 'nvidia.com/gpu') ?? false).toBe(isGpu);
  }
});

test('where something scales by itself, the number of pods is left to it', async () => {
  const objects = await objectsOf('production');
  const scaled = new Set(
    objects
      .filter(({ kind }) => kind === 'HorizontalPodAutoscaler' || kind === 'ScaledObject')
      .map(({ spec }) => (spec as { scaleTargetRef: { name: string } }).scaleTargetRef.name),
  );
  expect(scaled.size).toBeGreaterThan(5);
  for (const { object } of workloadsOf(objects).filter(({ object }) => object.kind !== 'Job')) {
    const { replicas } = object.spec as { replicas?: number };
    expect([object.metadata.name, replicas === undefined]).toEqual([
      object.metadata.name,
      scaled.has(object.metadata.name),
    ]);
  }
});

test.each(SETTINGS)('%s: a name belongs to HTTP or to gRPC, as the Gateway API asks', async (setting) => {
  const objects = await objectsOf(setting);
  const names = (kind: string): string[] =>
    ofKind<{ hostnames: string[] }>(objects, kind).flatMap(({ spec }) => spec.hostnames);
  expect(names('GRPCRoute').filter((name) => names('HTTPRoute').includes(name))).toEqual([]);
});

/** Fields that the API server refuses to change, of every object that has one. */
function fixedFields(objects: readonly KubeObject[]): Map<string, unknown> {
  const workloads = workloadsOf(objects).map(({ object }): [string, unknown[]] => {
    const spec = object.spec as Record<string, unknown> & { volumeClaimTemplates?: { metadata: unknown }[] };
    const claims = spec.volumeClaimTemplates?.map(({ metadata }) => metadata);
    return [identityOf(object), [spec.selector, spec.serviceName, spec.podManagementPolicy, claims]];
  });
  const services = ofKind<{ clusterIP?: string; selector: object }>(objects, 'Service').map(
    (object): [string, unknown[]] => [identityOf(object), [object.spec.clusterIP, object.spec.selector]],
  );
  return new Map<string, unknown>([...workloads, ...services]);
}

test('an upgrade with whatever values changes nothing that cannot be changed', async () => {
  const before = fixedFields(await objectsOf('defaults'));
  const after = fixedFields(await objectsOf('everything'));
  // the Job has the version in its name, so that each version has one of its own
  const kept = [...before].filter(([name]) => !name.startsWith('batch/'));
  expect(kept.length).toBeGreaterThan(15);
  for (const [name, fields] of kept) expect([name, after.get(name)]).toEqual([name, fields]);
  const jobs = (names: Iterable<string>): string[] => [...names].filter((name) => name.startsWith('batch/'));
  expect(jobs(before.keys())).toEqual(['batch/Job/millrace-migrate-0-0-0']);
  expect(jobs(after.keys())).toEqual(['batch/Job/millrace-migrate-1-2-3']);
});
