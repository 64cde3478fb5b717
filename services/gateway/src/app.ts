import type { Bus } from '@millrace/bus';
import type { Database } from '@millrace/database';
import type { Auth, HttpApp, Logger, Metrics, ReadinessChecks } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { addAdmission } from './admission/admission.ts';
import { createRateLimit } from './admission/rate-limit.ts';
import { createTenantQuotas } from './admission/tenant-quotas.ts';
import { auditRoutes } from './audit/audit.routes.ts';
import type { AuditWriter } from './audit/audit.writer.ts';
import { deadLetterRoutes } from './dead-letters/dead-letter.routes.ts';
import { keyRoutes } from './keys/key.routes.ts';
import type { KeyService } from './keys/key.service.ts';
import { issuerRoutes } from './oidc/issuer.routes.ts';
import type { IssuerKeys } from './oidc/issuer-keys.ts';
import { mergeOpenApi } from './openapi/merge-openapi.ts';
import { pageRoutes } from './pages/page.routes.ts';
import { principalRoutes } from './principals/principal.routes.ts';
import type { PrincipalService } from './principals/principal.service.ts';
import { createForwarder } from './proxy/forward.ts';
import type { BodyBounds } from './proxy/proxy.routes.ts';
import { proxyPaths } from './proxy/proxy.routes.ts';
import type { Upstreams } from './proxy/upstream.ts';
import { statusRoutes } from './status/status.routes.ts';
import { tenantRoutes } from './tenants/tenant.routes.ts';
import type { TenantService } from './tenants/tenant.service.ts';
import type { TenantLimits } from './tenants/tenant.table.ts';
import { createUsage } from './tenants/usage.ts';
import { deliveryRoutes } from './webhooks/delivery.routes.ts';
import { webhookRoutes } from './webhooks/webhook.routes.ts';
import type { WebhookService } from './webhooks/webhook.service.ts';

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
  principals: PrincipalService;
  tenants: TenantService;
  issuerKeys: IssuerKeys;
  upstreams: Upstreams;
  bounds: BodyBounds;
  ratePerSecond: number;
  database: Database;
  audit: AuditWriter;
  webhooks: WebhookService;
  /** Bounds of a tenant as they are now. */
  limitsOf: (tenant: string) => TenantLimits | undefined;
};

/** The public door: own routes for keys, status, dead letters and pages, everything else goes to its service. */
export async function buildApp(deps: GatewayDeps): Promise<HttpApp> {
  const { logger, metrics, auth, readiness, upstreams, version, database, audit } = deps;
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
  const quotas = createTenantQuotas({ limitsOf: deps.limitsOf });
  addAdmission(app, { takeRequest: createRateLimit({ perSecond: deps.ratePerSecond }), quotas, audit });
  const forwarder = createForwarder();
  app.addHook('onClose', async () => forwarder.close());
  await app.register(pageRoutes());
  await app.register(statusRoutes({ upstreams, version, readiness }));
  await app.register(keyRoutes({ keys: deps.keys }));
  await app.register(principalRoutes({ principals: deps.principals }));
  await app.register(
    tenantRoutes({ tenants: deps.tenants, usage: createUsage({ database, bus: deps.bus, quotas, audit }) }),
  );
  await app.register(webhookRoutes({ webhooks: deps.webhooks }));
  await app.register(deliveryRoutes({ webhooks: deps.webhooks }));
  await app.register(auditRoutes({ database, audit }));
  await app.register(issuerRoutes({ issuerKeys: deps.issuerKeys }));
  await app.register(deadLetterRoutes({ bus: deps.bus }));
  await app.register(proxyPaths({ upstreams, forwarder, bounds: deps.bounds }));
  return app;
}
