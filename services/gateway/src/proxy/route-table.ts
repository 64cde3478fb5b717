import type { ServiceName } from './upstream.ts';

/** How large a body may be and how long an answer may take: `small` for JSON, `predict`, `upload` for files. */
export type BodyClass = 'small' | 'predict' | 'upload';

export type ProxyRoute = {
  /** A path, whose parts may be parameters, or a prefix when it ends with `/*`. */
  readonly path: string;
  readonly service: ServiceName;
  readonly body: BodyClass;
  /** HTTP Basic is taken as well. */
  readonly basicAuth?: true;
  /** Whose shape the gateway's own refusals have where clients expect another than ours. */
  readonly errors?: 'mlflow' | 'protocol';
};

/** Which service answers which public path. The first part of every table row decides; no path is rewritten. */
export const proxyRoutes: readonly ProxyRoute[] = [
  // Model API
  { path: '/model/*', service: 'registry', body: 'upload' },
  { path: '/predict', service: 'inference', body: 'predict' },
  { path: '/feedback', service: 'monitoring', body: 'small' },
  { path: '/monitoring/*', service: 'monitoring', body: 'small' },
  // Dataset API
  { path: '/datasets/:datasetId/models', service: 'registry', body: 'upload' },
  { path: '/datasets/*', service: 'datasets', body: 'upload' },
  // Open Inference Protocol
  { path: '/v2', service: 'inference', body: 'small', errors: 'protocol' },
  { path: '/v2/*', service: 'inference', body: 'predict', errors: 'protocol' },
  // MLflow
  { path: '/api/*', service: 'registry', body: 'upload', basicAuth: true, errors: 'mlflow' },
  // Platform API
  ...both('/v1/datasets', 'datasets', 'upload'),
  { path: '/v1/features/*', service: 'datasets', body: 'upload' },
  { path: '/v1/training/*', service: 'training-orchestrator', body: 'small' },
  ...both('/v1/pipelines', 'training-orchestrator', 'small'),
  ...both('/v1/conversions', 'converter', 'small'),
  ...both('/v1/models', 'registry', 'upload'),
  { path: '/v1/imports/*', service: 'registry', body: 'small' },
  ...both('/v1/uploads', 'registry', 'upload'),
  { path: '/v1/storage/*', service: 'registry', body: 'small' },
  { path: '/v1/approvals/*', service: 'registry', body: 'small' },
  { path: '/v1/governance/*', service: 'registry', body: 'small' },
  ...both('/v1/rollouts', 'registry', 'small'),
  ...both('/v1/inference', 'inference', 'small'),
  ...both('/v1/batch-jobs', 'inference', 'small'),
  { path: '/v1/monitoring/*', service: 'monitoring', body: 'small' },
];

function both(path: string, service: ServiceName, body: BodyClass): ProxyRoute[] {
  return [
    { path, service, body },
    { path: `${path}/*`, service, body },
  ];
}
