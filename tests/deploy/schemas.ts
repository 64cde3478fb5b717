import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { ExternalSecret } from '@kubernetes-models/external-secrets/external-secrets.io/v1/ExternalSecret';
import { GRPCRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/GRPCRoute';
import { HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute';
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor';
import { ensureEnvironment, environmentsRoot } from '@millrace/embedded';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Json, KubeObject } from '../../scripts/generate/chart.ts';
import { identityOf } from '../../scripts/generate/chart.ts';
import { undeclaredFields } from './declared-fields.ts';
import { objectsOf, SETTINGS } from './rendered.ts';
import { ofKind } from './workloads.ts';

/** Releases of Kubernetes that the chart is for: from the `sleep` of preStop on, to the newest there are schemas of. */
const RELEASES = ['1.30', '1.31', '1.32', '1.33', '1.34', '1.35', '1.36', '1.37'];
const SCHEMAS = 'lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema';

/** Kinds of operators: the check that their makers' types give, and where those are declared. */
const OPERATORS: Record<string, { Model: new (data: never) => { validate(): void }; folder: string }> = {
  ExternalSecret: { Model: ExternalSecret, folder: 'external-secrets/external-secrets.io/v1' },
  GRPCRoute: { Model: GRPCRoute, folder: 'gateway-api/gateway.networking.k8s.io/v1' },
  HTTPRoute: { Model: HTTPRoute, folder: 'gateway-api/gateway.networking.k8s.io/v1' },
  PrometheusRule: { Model: PrometheusRule, folder: 'prometheus-operator/monitoring.coreos.com/v1' },
  ScaledObject: { Model: ScaledObject, folder: 'keda/keda.sh/v1alpha1' },
  ServiceMonitor: { Model: ServiceMonitor, folder: 'prometheus-operator/monitoring.coreos.com/v1' },
};
/** KServe publishes its types for Python only; its shape is held below. */
const UNKNOWN = 'ClusterServingRuntime';

async function schemaFolder(release: string): Promise<string> {
  const { folder } = await ensureEnvironment('kubernetes', environmentsRoot(process.env), process.env);
  const [found] = globSync(join(SCHEMAS, `v${release}.0-local-strict`), { cwd: folder });
  if (found === undefined) throw new Error(`there are no schemas of Kubernetes ${release}`);
  return join(folder, found);
}

/** A check of objects against one release, unknown fields included; it gives what is wrong. */
async function createCheck(release: string): Promise<(object: KubeObject) => string[]> {
  const folder = await schemaFolder(release);
  const read = (file: string): object => JSON.parse(readFileSync(join(folder, file), 'utf8')) as object;
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(read('_definitions.json'), '_definitions.json');
  return (object) => {
    const { kind, apiVersion } = object;
    const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : [undefined, apiVersion];
    const file = [kind.toLowerCase(), group?.split('.')[0], version]
      .filter((part) => part !== undefined)
      .join('-');
    const check = ajv.getSchema(file) ?? ajv.addSchema(read(`${file}.json`), file).getSchema(file);
    if (check === undefined) throw new Error(`Kubernetes ${release} has no ${file}`);
    if (check(object) === true) return [];
    return (check.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${identityOf(object)}${instancePath} ${message} ${JSON.stringify(params)}`,
    );
  };
}

const isBuiltIn = ({ kind }: KubeObject): boolean => !(kind in OPERATORS) && kind !== UNKNOWN;

/** Every object that is not the same in two settings, once. */
async function allObjects(): Promise<KubeObject[]> {
  const objects = (await Promise.all(SETTINGS.map(objectsOf))).flat();
  return [...new Map(objects.map((object) => [JSON.stringify(object), object])).values()];
}

test.each(RELEASES)('Kubernetes %s takes every object, and no field is unknown to it', async (release) => {
  const check = await createCheck(release);
  const objects = (await allObjects()).filter(isBuiltIn);
  expect(objects.length).toBeGreaterThan(100);
  expect(objects.flatMap(check)).toEqual([]);
});

function operatorFaults(object: KubeObject): string[] {
  const operator = OPERATORS[object.kind];
  if (operator === undefined) return [`nobody knows ${object.kind}`];
  const model = `@kubernetes-models/${operator.folder}/${object.kind}`;
  const faults = undeclaredFields(object as unknown as Json, model);
  try {
    new operator.Model(object as never).validate();
  } catch (error) {
    faults.push((error as Error).message);
  }
  return faults.map((fault) => `${identityOf(object)}: ${fault}`);
}

test('operators take theirs, and no field is unknown to them', async () => {
  const objects = (await allObjects()).filter(({ kind }) => kind in OPERATORS);
  expect(new Set(objects.map(({ kind }) => kind))).toEqual(new Set(Object.keys(OPERATORS)));
  const faults = objects.flatMap(operatorFaults);
  expect(faults).toEqual([]);
});

test('the checks see a field that is unknown, of another type, or missing', async () => {
  const check = await createCheck('1.37');
  const [service] = ofKind<object>(await objectsOf('defaults'), 'Service');
  if (service === undefined) throw new Error('there is no Service');
  expect(check({ ...service, spec: { ...service.spec, prots: [] } }).join()).toMatch(/prots/);
  expect(check({ ...service, spec: { ports: 'http' } }).join()).toMatch(/ports/);
  const [scaled] = ofKind<{ triggers: object[] }>(await objectsOf('everything'), 'ScaledObject');
  if (scaled === undefined) throw new Error('there is no ScaledObject');
  const [trigger] = scaled.spec.triggers;
  const misspelt = {
    ...scaled,
    spec: { ...scaled.spec, maxReplicas: 3, triggers: [{ ...trigger, typ: 'cpu' }] },
  };
  expect(operatorFaults(misspelt).join()).toMatch(/triggers\/0\/typ is not known.*maxReplicas is not known/);
  expect(operatorFaults({ ...scaled, spec: { triggers: 1 } }).join()).toMatch(/scaleTargetRef|triggers/);
});

test('the runtime of KServe names its container, protocols and formats as KServe asks', async () => {
  const [runtime] = ofKind<Record<string, unknown>>(await objectsOf('everything'), UNKNOWN);
  expect(runtime).toMatchObject({
    apiVersion: 'serving.kserve.io/v1alpha1',
    spec: {
      supportedModelFormats: [{ name: 'millrace', version: '1', autoSelect: false }],
      protocolVersions: ['v2', 'grpc-v2'],
      containers: [{ name: 'kserve-container' }],
    },
  });
  expect(runtime?.metadata.namespace).toBeUndefined();
});
