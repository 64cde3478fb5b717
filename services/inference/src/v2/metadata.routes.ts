import type { HttpApp, ReadinessChecks } from '@millrace/service-kit';
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
import { refuseOtherMethods } from './protocol-errors.ts';
import { Params, type Target, tags } from './protocol-paths.ts';

/** Metadata, liveness and readiness of the server and of its models, statistics and configuration. */
export function metadataRoutes(
  service: PredictionService,
  control: ServerControl,
  isReady: ReadinessChecks,
): (app: HttpApp) => void {
  async function readyVersions(): Promise<{ name: string; version: string }[]> {
    return (await control.index()).filter(({ state }) => state === 'READY');
  }

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
    app.get('/models', read, async () => ({
      models: [...new Set((await readyVersions()).map(({ name }) => name))],
    }));
    app.get('/models/stats', read, async () => ({ model_stats: await control.statistics() }));
    for (const path of ['/', '/health/live', '/health/ready', '/models', '/models/stats'])
      refuseOtherMethods(app, path, 'GET');
    for (const path of ['/models/:model', '/models/:model/versions/:version']) {
      app.get<Target>(path, ofModel, ({ params }) =>
        modelMetadata(service, control, params.model, params.version),
      );
      app.get<Target>(`${path}/ready`, ofModel, async ({ params }) => {
        const { version } = await service.described(params.model, params.version).catch((error: unknown) => {
          throw notReady(error);
        });
        return { name: version.model, ready: true };
      });
      app.get<Target>(`${path}/config`, ofModel, ({ params }) =>
        control.config(params.model, params.version),
      );
      app.get<Target>(`${path}/stats`, ofModel, async ({ params }) => ({
        model_stats: await control.statistics(params.model, params.version),
      }));
      for (const end of ['', '/ready', '/config', '/stats']) refuseOtherMethods(app, path + end, 'GET');
    }
  };
}
