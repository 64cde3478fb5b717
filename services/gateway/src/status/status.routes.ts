import type { HttpApp, ReadinessChecks } from '@millrace/service-kit';
import Type from 'typebox';
import type { Upstreams } from '../proxy/upstream.ts';
import type { ServiceStatus as ServiceStatusType } from './status.service.ts';
import { readStatus, ServiceStatus } from './status.service.ts';

const PlatformStatus = Type.Object({
  state: Type.Enum(['ready', 'degraded'], { description: 'ready when every service is.' }),
  principal: Type.String({ description: 'Who you are.' }),
  services: Type.Array(ServiceStatus),
});

/** State of the whole platform, and the plain health check that older clients ask for. */
export function statusRoutes(deps: {
  upstreams: Upstreams;
  version: string;
  readiness: ReadinessChecks;
}): (app: HttpApp) => Promise<void> {
  return async function registerStatusRoutes(app) {
    app.get(
      '/v1/status',
      {
        config: { scope: 'operate' },
        schema: { operationId: 'platformStatus', tags: ['operations'], response: { 200: PlatformStatus } },
      },
      async (request) => {
        const [own, others] = await Promise.all([ownStatus(deps), readStatus(deps.upstreams)]);
        const services = [own, ...others];
        const state = services.every((service) => service.state === 'ready') ? 'ready' : 'degraded';
        return { state: state as 'ready' | 'degraded', principal: request.principal.id, services };
      },
    );
    app.get(
      '/health',
      {
        config: { public: true },
        schema: {
          operationId: 'health',
          tags: ['operations'],
          response: { 200: Type.Object({ status: Type.Literal('ok') }) },
        },
      },
      async () => ({ status: 'ok' as const }),
    );
  };
}

async function ownStatus(deps: { version: string; readiness: ReadinessChecks }): Promise<ServiceStatusType> {
  const startedMs = performance.now();
  const results = await Promise.all(
    Object.entries(deps.readiness).map(async ([name, check]) => ({
      name,
      isOk: await check().then(
        () => true,
        () => false,
      ),
    })),
  );
  const failing = results.filter(({ isOk }) => !isOk).map(({ name }) => name);
  const latencyMs = Math.round((performance.now() - startedMs) * 10) / 10;
  return {
    name: 'gateway',
    state: failing.length === 0 ? 'ready' : 'not-ready',
    version: deps.version,
    latencyMs,
    failing,
  };
}
