import type { Bus } from '@millrace/bus';
import type { Auth, HttpApp, Logger, Metrics, ReadinessChecks } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { deadLetterRoutes } from './dead-letters/dead-letter.routes.ts';
import { keyRoutes } from './keys/key.routes.ts';
import type { KeyService } from './keys/key.service.ts';
import { mergeOpenApi } from './openapi/merge-openapi.ts';
import { pageRoutes } from './pages/page.routes.ts';
import { createForwarder } from './proxy/forward.ts';
import type { BodyBounds } from './proxy/proxy.routes.ts';
import { proxyPaths } from './proxy/proxy.routes.ts';
import { createRateLimit } from './proxy/rate-limit.ts';
import type { Upstreams } from './proxy/upstream.ts';
import { statusRoutes } from './status/status.routes.ts';

/** An upload of the largest size must end within this time. */
const REQUEST_TIMEOUT_MS = 3_600_000;

export type GatewayDeps = {
  version: string;
  logger: Logger;
  metrics: Metrics;
  auth: Auth;
  readiness: ReadinessChecks;
  bus: Bus;
  keys: KeyService;
  upstreams: Upstreams;
  bounds: BodyBounds;
  ratePerSecond: number;
};

/** The public door: own routes for keys, status, dead letters and pages, everything else goes to its service. */
export async function buildApp(deps: GatewayDeps): Promise<HttpApp> {
  const { logger, metrics, auth, readiness, upstreams, version } = deps;
  const app = await createHttp({
    service: 'gateway',
    version,
    logger,
    metrics,
    auth,
    readiness,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    openapi: {
      title: 'Millrace',
      description: 'Train, convert, register, serve and monitor models.',
      extend: async (document) => await mergeOpenApi(document, upstreams, logger),
    },
  });
  const takeRequest = createRateLimit({ perSecond: deps.ratePerSecond });
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.principal.id !== 'anonymous') takeRequest(request.principal.id);
    done();
  });
  const forwarder = createForwarder();
  app.addHook('onClose', async () => forwarder.close());
  await app.register(pageRoutes());
  await app.register(statusRoutes({ upstreams, version, readiness }));
  await app.register(keyRoutes({ keys: deps.keys }));
  await app.register(deadLetterRoutes({ bus: deps.bus }));
  await app.register(proxyPaths({ upstreams, forwarder, bounds: deps.bounds }));
  return app;
}
