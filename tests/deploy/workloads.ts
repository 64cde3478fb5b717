import type { KubeObject } from '../../scripts/generate/chart.ts';

/** A variable of a container: a value, or a key of a Secret or ConfigMap. */
export type Variable = {
  name: string;
  value?: string;
  valueFrom?: {
    secretKeyRef?: { name: string; key: string };
    configMapKeyRef?: { name: string; key: string };
  };
};

export type Probe = { httpGet?: { path: string; port: string | number }; exec?: { command: string[] } };

export type Container = {
  name: string;
  image: string;
  command?: string[];
  env?: Variable[];
  ports?: { name: string; containerPort: number }[];
  resources?: Record<'requests' | 'limits', Record<string, string> | undefined>;
  securityContext?: Record<string, unknown>;
  startupProbe?: Probe;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  lifecycle?: { preStop?: { sleep?: { seconds: number } } };
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
};

export type Volume = {
  name: string;
  emptyDir?: { sizeLimit?: string; medium?: string };
  secret?: { secretName: string };
  configMap?: { name: string };
  projected?: { sources: { secret?: { name: string } }[] };
};

export type PodSpec = {
  serviceAccountName: string;
  automountServiceAccountToken?: boolean;
  enableServiceLinks?: boolean;
  terminationGracePeriodSeconds?: number;
  securityContext?: Record<string, unknown>;
  nodeSelector?: Record<string, string>;
  tolerations?: Record<string, string>[];
  topologySpreadConstraints?: unknown[];
  containers: Container[];
  initContainers?: Container[];
  volumes?: Volume[];
};

/** Something that makes pods. */
export type Workload = {
  object: KubeObject;
  /** What it is: `registry`, `training-worker`, `migrate`. */
  component: string;
  labels: Record<string, string>;
  pod: PodSpec;
};

const KINDS = ['Deployment', 'StatefulSet', 'Job'];

/** Everything that makes pods; a runtime of KServe is none, KServe makes its pods. */
export function workloadsOf(objects: readonly KubeObject[]): Workload[] {
  return objects
    .filter(({ kind }) => KINDS.includes(kind))
    .map((object) => {
      const { template } = object.spec as {
        template: { metadata: { labels: Record<string, string> }; spec: PodSpec };
      };
      const { labels } = template.metadata;
      const component = labels['app.kubernetes.io/component'] ?? '';
      return { object, component, labels, pod: template.spec };
    });
}

/** Objects of a kind, each with its spec as the caller knows it. */
export function ofKind<S>(objects: readonly KubeObject[], kind: string): (KubeObject & { spec: S })[] {
  return objects.filter((object) => object.kind === kind) as (KubeObject & { spec: S })[];
}
