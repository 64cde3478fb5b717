import { SERVICE_NAMES } from '@millrace/embedded';

/** An image that is built from this repository. */
export type Image = {
  /** Its name after the prefix, its target in the Dockerfile, and its container in infra/compose.yaml. */
  name: string;
  dockerfile: string;
  kind: 'server' | 'service' | 'worker';
  /** Whether the main job needs it; the others are built by name or with `--all`. */
  isStandard: boolean;
};

const image = (
  kind: Image['kind'],
  dockerfile: string,
  isStandard: boolean,
  names: readonly string[],
): Image[] =>
  names.map((name) => ({ name, kind, dockerfile: `deploy/docker/${dockerfile}.Dockerfile`, isStandard }));

/** Every image there is. */
export const IMAGES: readonly Image[] = [
  ...image('server', 'servers', true, ['setup', 'postgres', 'nats', 's3']),
  ...image('service', 'node', true, SERVICE_NAMES),
  ...image('worker', 'worker', true, ['training-worker', 'conversion-worker']),
  ...image('worker', 'worker', false, ['analysis-worker', 'training-worker-torch', 'training-worker-gpu']),
];
