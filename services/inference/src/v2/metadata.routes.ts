import type { HttpApp, ReadinessChecks } from '@millrace/service-kit';
import { servedName } from '../models/served-name.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import type { ServerControl } from '../server/server-control.ts';
import {
  EXTENSIONS,
  isServerReady,
  modelMetadata,
  notReady,
  SERVER_NAME,
  SERVER_VERSION,
} from '../server/server-metadata.ts';
import { controlOf } from '../server/tenant-control.ts';
import { refuseOtherMethods } from './protocol-errors.ts';
import { Params, type Target, tags } from './protocol-paths.ts';

/** Metadata, liveness and readiness of the server and of its models, statistics and configuration. */
export function metadataRoutes(
  service: PredictionService,
  control: ServerControl,
  isReady: ReadinessChecks,
): (app: HttpApp) => void {
  return (app) => {
    const read = { config: { scope: 'models:read' as const }, schema: { tags } };
    const open = { config: { public: true as const }, schema: { tags } };
    const ofModel = { config: read.config, schema: { tags, params: Params } };
    app.get('/', read, async () => ({ name: SERVER_NAME, version: SERVER_VERSION, extensions: EXTENSIONS }));
    app.get('/health/live', open, async () => ({ live: true }));
    app.get('/health/ready', open, async (_request, reply) => {
      const ready = await isServerReady(isReady);
      return reply.code(ready ? 200 : 503).send({ ready });
    });
    app.get('/models', read, async ({ principal }) => {
      const index = await controlOf(control, principal.tenant).index();
      const ready = index.filter(({ state }) => state === 'READY');
      return { models: [...new Set(ready.map(({ name }) => name))] };
    });
    app.get('/models/stats', read, async ({ principal }) => ({
      model_stats: await controlOf(control, principal.tenant).statistics(),
    }));
    for (const path of ['/', '/health/live', '/health/ready', '/models', '/models/stats'])
      refuseOtherMethods(app, path, 'GET');
    for (const path of ['/models/:model', '/models/:model/versions/:version']) {
      app.get<Target>(path, ofModel, ({ principal, params }) =>
        modelMetadata(service, control, servedName(principal.tenant, params.model), params.version),
      );
      app.get<Target>(`${path}/ready`, ofModel, async ({ principal, params }) => {
        const name = servedName(principal.tenant, params.model);
        const { version } = await service.described(name, params.version).catch((error: unknown) => {
          throw notReady(error);
        });
        return { name: version.model, ready: true };
      });
      app.get<Target>(`${path}/config`, ofModel, ({ principal, params }) =>
        controlOf(control, principal.tenant).config(params.model, params.version),
      );
      app.get<Target>(`${path}/stats`, ofModel, async ({ principal, params }) => ({
        model_stats: await controlOf(control, principal.tenant).statistics(params.model, params.version),
      }));
      for (const end of ['', '/ready', '/config', '/stats']) refuseOtherMethods(app, path + end, 'GET');
    }
  };
}
