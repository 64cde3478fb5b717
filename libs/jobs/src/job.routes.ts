import { AppError, isTerminal, JobState, JobView, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp, Scope } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import type { FastifyReply } from 'fastify';
import Type from 'typebox';
import type { JobService } from './job.service.ts';
import type { JobRow } from './job.table.ts';
import type { JobFeed, JobNews } from './job-feed.ts';

/** Event streams a service keeps open at once. */
const MAX_STREAMS = 256;
const KEEP_ALIVE_MS = 15_000;
const LOG_LIMIT_MAX = 5_000;
/** Queries of the state are joined when news come faster than this. */
const STATE_DEBOUNCE_MS = 50;

const LogLine = Type.Object({
  seq: Type.Integer(),
  time: Type.String(),
  level: Type.String(),
  message: Type.String(),
  fence: Type.Integer(),
});
const Worker = Type.Object({
  id: Type.String(),
  pool: Type.String(),
  kinds: Type.Array(Type.String()),
  devices: Type.Array(Type.String()),
  environmentDigest: Type.String(),
  version: Type.String(),
  host: Type.String(),
  seenAt: Type.String(),
});
const JobParams = Type.Object({ jobId: Uuid });
const Cursor = Type.Object({ createdAt: Type.String(), id: Type.String() });

export type JobRoutesOptions = {
  /** Path of the collection, such as `/v1/training/jobs`. */
  path: string;
  /** Prefix of the operation ids, such as `TrainingJob`. */
  name: string;
  readScope: Scope;
  writeScope: Scope;
  jobs: JobService;
  database: Database;
  feed: JobFeed;
};

/** The routes that every kind of job has: list, one, cancel, logs, live events, workers; of the caller's tenant alone. */
export function jobRoutes(options: JobRoutesOptions): (app: HttpApp) => Promise<void> {
  const { path, name, jobs, database, feed } = options;
  const read = { config: { scope: options.readScope } };
  const write = { config: { scope: options.writeScope } };
  const tags = ['jobs'];
  let openStreams = 0;

  return async function registerJobRoutes(app) {
    app.get(
      path,
      {
        ...read,
        schema: {
          operationId: `list${name}s`,
          tags,
          querystring: Type.Object(
            { ...pageQuery, state: Type.Optional(JobState) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(JobView) },
        },
      },
      async (request) => {
        const { limit, cursor, state } = request.query;
        const after = decodeCursor(Cursor, cursor);
        const rows = await jobs.repository.list(database.db, {
          tenant: request.principal.tenant,
          limit: limit + 1,
          ...(state === undefined ? {} : { state }),
          ...(after === undefined ? {} : { after: { createdAt: new Date(after.createdAt), id: after.id } }),
        });
        return toPage(
          rows,
          limit,
          (row) => ({ createdAt: row.createdAt.toISOString(), id: row.id }),
          await jobs.viewer(),
        );
      },
    );

    app.get(
      `${path}/:jobId`,
      { ...read, schema: { operationId: `get${name}`, tags, params: JobParams, response: { 200: JobView } } },
      async (request) => jobs.view(await jobs.get(request.params.jobId, request.principal.tenant)),
    );

    app.post(
      `${path}/:jobId/cancel`,
      {
        ...write,
        schema: { operationId: `cancel${name}`, tags, params: JobParams, response: { 202: JobView } },
      },
      async (request, reply) => {
        const { id } = await jobs.get(request.params.jobId, request.principal.tenant);
        return reply.code(202).send(await jobs.view(await jobs.cancel(id)));
      },
    );

    app.get(
      `${path}/:jobId/logs`,
      {
        ...read,
        schema: {
          operationId: `get${name}Logs`,
          tags,
          params: JobParams,
          querystring: Type.Object(
            {
              after: Type.Integer({ minimum: 0, default: 0, description: 'seq of the last line seen.' }),
              limit: Type.Integer({ minimum: 1, maximum: LOG_LIMIT_MAX, default: 1_000 }),
            },
            { additionalProperties: false },
          ),
          response: { 200: Type.Object({ lines: Type.Array(LogLine) }) },
        },
      },
      async (request) => {
        await jobs.get(request.params.jobId, request.principal.tenant);
        const lines = await jobs.repository.logs(database.db, request.params.jobId, {
          afterSeq: request.query.after,
          limit: request.query.limit,
        });
        return {
          lines: lines.map(({ seq, time, level, message, fence }) => ({
            seq,
            time: time.toISOString(),
            level,
            message,
            fence,
          })),
        };
      },
    );

    app.get(
      `${path}/:jobId/events`,
      { ...read, schema: { operationId: `follow${name}`, tags, params: JobParams } },
      async (request, reply) => {
        const job = await jobs.get(request.params.jobId, request.principal.tenant);
        if (openStreams >= MAX_STREAMS) {
          throw new AppError(
            'rate_limited',
            `The service already has ${MAX_STREAMS} open event streams; poll the job instead.`,
          );
        }
        openStreams += 1;
        reply.raw.once('close', () => {
          openStreams -= 1;
        });
        stream(reply, job);
        return reply;
      },
    );

    app.get(
      `${path.slice(0, path.lastIndexOf('/'))}/workers`,
      {
        ...read,
        schema: {
          operationId: `list${name}Workers`,
          tags,
          response: { 200: Type.Object({ items: Type.Array(Worker) }) },
        },
      },
      async () => {
        const workers = await jobs.repository.liveWorkers(database.db);
        return { items: workers.map((worker) => ({ ...worker, seenAt: worker.seenAt.toISOString() })) };
      },
    );
  };

  /** Server-sent events `state` (a JobView), `progress` and `log`; ends after the terminal state. */
  function stream(reply: FastifyReply, first: JobRow): void {
    const { raw } = reply;
    reply.hijack();
    raw.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      'x-request-id': String(reply.request.id),
    });
    const send = (event: string, data: unknown): void => {
      raw.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    };
    let isQueried = false;
    const sendState = async (): Promise<void> => {
      isQueried = false;
      const job = await jobs.get(first.id);
      send('state', await jobs.view(job));
      if (isTerminal(job.state)) raw.end();
    };
    const querySoon = (): void => {
      if (isQueried) return;
      isQueried = true;
      setTimeout(() => void sendState().catch(() => raw.end()), STATE_DEBOUNCE_MS);
    };
    const onNews = (news: JobNews): void => {
      if (news.type === 'state') {
        querySoon();
        return;
      }
      const { telemetry } = news;
      if (telemetry.type === 'progress') send('progress', { time: telemetry.time, ...telemetry.progress });
      else send('log', { time: telemetry.time, level: telemetry.level, message: telemetry.message });
    };
    const unfollow = feed.follow(first.id, onNews);
    const keepAlive = setInterval(() => {
      raw.write(': keep-alive\n\n');
      querySoon();
    }, KEEP_ALIVE_MS);
    raw.once('close', () => {
      clearInterval(keepAlive);
      unfollow();
    });
    querySoon();
  }
}
