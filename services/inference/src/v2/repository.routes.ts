import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Body } from '../http/body-reader.ts';
import { takeBodiesAsBytes } from '../http/body-reader.ts';
import type { MemoryPool } from '../http/memory-pool.ts';
import type { ServerControl } from '../server/server-control.ts';
import { controlOf } from '../server/tenant-control.ts';
import { parseSlice } from '../tensors/json-cursor.ts';
import { decodeBody } from './content-coding.ts';
import { refuseOtherMethods } from './protocol-errors.ts';
import { Params, type Target, tags } from './protocol-paths.ts';

/** Bodies here name a model at most (bytes). */
const BODY_BYTES_MAX = 64 * 1024;

function bad(message: string): AppError {
  return new AppError('invalid_request', message);
}

/** The JSON object of a body that may be absent. */
async function objectOf(body: unknown, encoding: string | undefined): Promise<Record<string, unknown>> {
  const given = body as Body | undefined;
  if (given === undefined || given.bytes.length === 0) return {};
  const bytes = await decodeBody(given.bytes, encoding, BODY_BYTES_MAX);
  const value = parseSlice(bytes, 0, bytes.length);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad('The body must be a JSON object, or empty.');
  return value as Record<string, unknown>;
}

function parametersOf(body: Record<string, unknown>): Record<string, unknown> {
  const { parameters = {} } = body;
  if (typeof parameters !== 'object' || parameters === null) throw bad('parameters must be an object.');
  return parameters as Record<string, unknown>;
}

function assertNoFiles(parameters: Record<string, unknown>): void {
  const [given] = Object.keys(parameters).filter((key) => key === 'config' || key.startsWith('file:'));
  if (given === undefined) return;
  throw bad(`"${given}" cannot be given here: a model is what was registered; upload a new version.`);
}

/** The repository extension: the index, and loading and unloading by name and version. */
export function repositoryRoutes(control: ServerControl, pool: MemoryPool): (app: HttpApp) => Promise<void> {
  const empty = (reply: FastifyReply): FastifyReply => reply.type('application/json').send('');

  return async (app) => {
    takeBodiesAsBytes(app as unknown as FastifyInstance, '*', BODY_BYTES_MAX, pool);
    app.post(
      '/repository/index',
      { config: { scope: 'models:read' }, bodyLimit: BODY_BYTES_MAX, schema: { tags } },
      async (request) => {
        const { ready = false } = await objectOf(request.body, request.headers['content-encoding']);
        if (typeof ready !== 'boolean') throw bad('ready must be true or false.');
        const index = await controlOf(control, request.principal.tenant).index();
        return ready ? index.filter(({ state }) => state === 'READY') : index;
      },
    );
    refuseOtherMethods(app, '/repository/index', 'POST');
    for (const path of ['/repository/models/:model', '/repository/models/:model/versions/:version']) {
      const options = {
        config: { scope: 'models:write' as const },
        bodyLimit: BODY_BYTES_MAX,
        schema: { tags, params: Params },
      };
      app.post<Target>(`${path}/load`, options, async (request, reply) => {
        const body = await objectOf(request.body, request.headers['content-encoding']);
        assertNoFiles(parametersOf(body));
        await controlOf(control, request.principal.tenant).load(request.params.model, request.params.version);
        return empty(reply);
      });
      app.post<Target>(`${path}/unload`, options, async (request, reply) => {
        // no model here depends on another, so unload_dependents has nothing to do
        parametersOf(await objectOf(request.body, request.headers['content-encoding']));
        await controlOf(control, request.principal.tenant).unload(
          request.params.model,
          request.params.version,
        );
        return empty(reply);
      });
      for (const end of ['/load', '/unload']) refuseOtherMethods(app, path + end, 'POST');
    }
  };
}
