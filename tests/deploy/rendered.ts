import type { Deployment, KubeObject, Values } from '../../scripts/generate/chart.ts';
import { DEPLOYMENTS, renderChart, valuesOf } from '../../scripts/generate/chart.ts';

/** What the chart is rendered with: its defaults, each environment, and all that can be switched on at once. */
export const SETTINGS = ['defaults', ...DEPLOYMENTS, 'everything'] as const;
export type Setting = (typeof SETTINGS)[number];

const ON = { enabled: true };
/** Every switch; the environments have routes of the Gateway API, this has an Ingress. */
const EVERYTHING: Values = {
  namespace: { create: true },
  image: { registry: 'registry.example.com/team', tag: '1.2.3', pullSecrets: [{ name: 'pull' }] },
  settings: {
    otlpEndpoint: 'http://otel-collector.monitoring.svc:4318',
    s3PublicEndpoint: 'https://files.example.com',
  },
  oidcIssuers: [
    {
      name: 'corp',
      issuer: 'https://login.example.com/realms/ml',
      audiences: ['https://millrace.example.com'],
    },
  ],
  secrets: { sources: { name: 'millrace-sources' } },
  externalSecrets: ON,
  scheduling: {
    nodeSelector: { pool: 'ml' },
    priorityClassName: 'ml',
    tolerations: [{ key: 'ml', operator: 'Exists' }],
  },
  services: { inference: { storageClassName: 'fast', autoscaling: { queueRequests: 8 } } },
  workers: {
    'training-worker-torch': ON,
    'training-worker-gpu': ON,
    'analysis-worker': ON,
  },
  gpu: { runtimeClassName: 'nvidia' },
  keda: ON,
  route: { kind: 'ingress', inference: ON, ingress: { annotations: { 'example.com/body-size': '0' } } },
  monitoring: ON,
  kserve: ON,
};

const valuesFor = (setting: Setting): Values => {
  if (setting === 'defaults') return {};
  return setting === 'everything' ? EVERYTHING : valuesOf(setting as Deployment);
};

let known: Promise<ReadonlyMap<Setting, KubeObject[]>> | undefined;

async function renderAll(): Promise<ReadonlyMap<Setting, KubeObject[]>> {
  const rendered = await renderChart(SETTINGS.map(valuesFor));
  return new Map(SETTINGS.map((setting, i) => [setting, rendered[i] ?? []]));
}

/** The objects of every setting, rendered once. */
export function rendered(): Promise<ReadonlyMap<Setting, KubeObject[]>> {
  known ??= renderAll();
  return known;
}

/** The objects of one setting. */
export async function objectsOf(setting: Setting): Promise<KubeObject[]> {
  return (await rendered()).get(setting) ?? [];
}
