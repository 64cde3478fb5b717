import type { HttpApp } from '@millrace/service-kit';
import {
  compileSchemas,
  createAuth,
  createKeySetHolder,
  createLogger,
  createMetrics,
} from '@millrace/service-kit';
import type { Json } from './schemas.ts';

/** Services whose routes are described in proto/openapi. */
export const DESCRIBED_SERVICES = [
  'converter',
  'datasets',
  'gateway',
  'inference',
  'monitoring',
  'registry',
  'training-orchestrator',
] as const;

type BuildApp = (deps: never) => Promise<HttpApp>;

/**
 * Stands for everything a route may use when it is called. None is called here: an app is only built, so that it can
 * describe its routes, and each property is again such a stand-in.
 */
function uncalled(path: string): unknown {
  return new Proxy(() => undefined, {
    get: (_target, name) =>
      name === 'then' || typeof name === 'symbol' ? undefined : uncalled(`${path}.${name}`),
    apply: () => {
      throw new Error(`${path} was called while the routes were only described`);
    },
  });
}

/** MLflow's API, which MLflow describes: its routes are built and compiled, and no document shows them. */
async function mlflowRoutes() {
  const [{ trackingRoutes }, { registryRoutes }] = await Promise.all([
    import('../../services/registry/src/tracking/tracking.ts'),
    import('../../services/registry/src/mlflow-registry/mlflow-registry.ts'),
  ]);
  return {
    tracking: { routes: trackingRoutes(uncalled('tracking') as never) },
    mlflowRegistry: { routes: registryRoutes(uncalled('registry') as never) },
  };
}

/** The app of a service with all its routes, to be described and not called. */
export async function describedApp(service: string): Promise<HttpApp> {
  const { buildApp } = (await import(`../../services/${service}/src/app.ts`)) as { buildApp: BuildApp };
  const logger = createLogger({ service, level: 'fatal' });
  const known: Record<string, unknown> = {
    logger,
    metrics: createMetrics({ service }),
    auth: createAuth({ mode: 'required', keySet: createKeySetHolder(), logger }),
    readiness: {},
    bodyBytesMax: 64 * 1024 * 1024,
    ratePerSecond: 1_000,
    version: '0.0.0',
    ...(service === 'registry' && (await mlflowRoutes())),
  };
  const deps = new Proxy(known, {
    get: (target, name) =>
      typeof name === 'string' && name in target ? target[name] : uncalled(String(name)),
  });
  const app = await buildApp(deps as never);
  await app.ready();
  return app;
}

/** The OpenAPI 3.1 document of one service, as it answers at /openapi.json. */
export async function openApiOf(service: string): Promise<Json> {
  const app = await describedApp(service);
  const document = (app as unknown as { swagger: () => Json }).swagger();
  await app.close();
  return document;
}

/** Compiles the schemas of all routes of a service and returns how many there are. Throws at a faulty one. */
export async function compileSchemasOf(service: string): Promise<number> {
  const app = await describedApp(service);
  try {
    return compileSchemas(app);
  } finally {
    await app.close();
  }
}
