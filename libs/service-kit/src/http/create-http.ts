import type { IncomingMessage as Incoming, IncomingMessage, ServerResponse } from 'node:http';
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { AppError, newId } from '@millrace/contracts';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RawServerDefault,
} from 'fastify';
import { fastify, LogController } from 'fastify';
import Type from 'typebox';
import type { Auth } from '../auth/auth.ts';
import type { ExpressRoute } from '../express/express-lane.ts';
import { openExpressLane } from '../express/express-lane.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { addAuth } from './auth-hook.ts';
import { addBodyDiscard } from './body-discard.ts';
import type { ReadinessChecks } from './health.ts';
import { checkReadiness, Readiness } from './health.ts';
import { Problem, problemReply } from './problem.ts';
import type { CompileNow } from './route-schemas.ts';
import { keepSchemas } from './route-schemas.ts';
import { createSerializerFactory } from './serializer.ts';
import type { ObserveRequest } from './telemetry.ts';
import { addTelemetry } from './telemetry.ts';
import { createValidatorCompiler } from './validator.ts';

/** A Fastify server whose routes take TypeBox schemas. */
export type HttpApp = FastifyInstance<
  RawServerDefault,
  Incoming,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** Bodies over this many bytes get 413 unless a service or route sets another bound. */
export const BODY_LIMIT_BYTES = 1024 * 1024;
/** A client must send its headers within this time. */
export const HEADERS_TIMEOUT_MS = 15_000;
/** A client must send its whole request within this time; services that take uploads set more. */
export const REQUEST_TIMEOUT_MS = 60_000;
/** An idle connection is kept this long; longer than the 60 s of common load balancers. */
export const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** Requests in hand get this long to end when the server closes; it then cuts them off. */
export const DRAIN_TIMEOUT_MS = 10_000;
/** Longest path parameter in bytes: a name of 255 characters, percent-encoded UTF-8. */
export const PARAM_LENGTH_MAX = 255 * 12;

export type HttpOptions = {
  service: string;
  version?: string;
  logger: Logger;
  metrics: Metrics;
  auth: Auth;
  bodyLimitBytes?: number;
  requestTimeoutMs?: number;
  readiness: ReadinessChecks;
  /** Routes that are also answered straight from the socket. */
  express?: readonly ExpressRoute[];
  /** The text of `/metrics` where it is not this process's own: a service of several processes. */
  metricsText?: () => Promise<string>;
  openapi: {
    title: string;
    description?: string;
    /** Adds to the document before `/openapi.json` gives it; the gateway merges those of the services. */
    extend?: (document: object) => Promise<object>;
  };
};

const REQUEST_ID = /^[A-Za-z0-9._-]{8,128}$/;

/**
 * A server with what all services share: request ids, problem+json errors, auth on every route, health, metrics and
 * OpenAPI. Add routes with `app.register(routes)`; each must declare `config.scope` or `config.public`.
 */
export async function createHttp(options: HttpOptions): Promise<HttpApp> {
  const { logger, metrics, auth, service } = options;
  const bodyLimitBytes = options.bodyLimitBytes ?? BODY_LIMIT_BYTES;
  const schemas: CompileNow[] = [];
  const app = fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: requestId,
    requestIdHeader: false,
    bodyLimit: bodyLimitBytes,
    requestTimeout: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    return503OnClosing: false,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    schemaController: { compilersFactory: { buildSerializer: createSerializerFactory(schemas) } },
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply, bodyLimitBytes),
  }).withTypeProvider<TypeBoxTypeProvider>() as unknown as HttpApp;
  app.setValidatorCompiler(createValidatorCompiler(schemas) as never);
  keepSchemas(app, schemas);
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, bodyLimitBytes));
  app.setNotFoundHandler((request) => {
    throw new AppError(
      'route_not_found',
      `There is no ${request.method} ${request.url.split('?')[0]}; see /docs for the list.`,
    );
  });
  addDraining(app);
  addBodyDiscard(app as unknown as FastifyInstance);
  const observe = addTelemetry(app as unknown as FastifyInstance, metrics, service);
  addAuth(app as unknown as FastifyInstance, auth);
  await app.register(swagger, openapiOptions(options) as never);
  addOperations(app, options);
  if (options.express !== undefined) addExpressLane(app, options, observe);
  return app;
}

const idOf = (given: unknown): string =>
  typeof given === 'string' && REQUEST_ID.test(given) ? given : newId();

const requestId = (request: IncomingMessage): string => idOf(request.headers['x-request-id']);

function addExpressLane(app: HttpApp, options: HttpOptions, observe: ObserveRequest): void {
  const lane = openExpressLane({
    server: app.server,
    routes: options.express ?? [],
    auth: options.auth,
    idOf,
    observe,
    keepAliveMs: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeoutMs: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
  });
  app.addHook('preClose', (done) => {
    lane.close();
    setTimeout(lane.destroy, DRAIN_TIMEOUT_MS).unref();
    done();
  });
}

/** Once closing began, new requests on open connections get `shutting_down`, and those connections close. */
function addDraining(app: HttpApp): void {
  let isClosing = false;
  app.addHook('preClose', (done) => {
    isClosing = true;
    setTimeout(() => app.server.closeAllConnections(), DRAIN_TIMEOUT_MS).unref();
    done();
  });
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
    if (!isClosing) return done();
    throw new AppError('shutting_down', 'The service is stopping; send the request again.');
  });
  // A connection that stays open after its answer would hold up closing until its keep-alive ends.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (isClosing) void reply.header('connection', 'close');
    done();
  });
}

async function answerError(
  raw: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  bodyLimitBytes: number,
): Promise<FastifyReply> {
  const bytesMax = request.routeOptions?.bodyLimit ?? bodyLimitBytes;
  const { status, headers, body } = problemReply(raw, bytesMax, request);
  for (let i = 0; i < headers.length; i += 2) void reply.header(headers[i] as string, headers[i + 1]);
  return reply
    .code(status)
    .header('x-request-id', request.id)
    .serializer((text: unknown) => text as string)
    .send(body);
}

function openapiOptions(options: HttpOptions): object {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: options.openapi.title,
        version: options.version ?? '0.0.0',
        ...(options.openapi.description === undefined ? {} : { description: options.openapi.description }),
      },
      components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }: OpenApiTransform) => {
      const scope = route.config?.scope;
      const security = scope === undefined ? [] : [{ apiKey: [scope] }];
      const response = { ...(schema?.response as object | undefined), default: Problem };
      return { schema: { security, ...schema, response }, url };
    },
  };
}

type OpenApiTransform = {
  schema?: { response?: unknown };
  url: string;
  route: { config?: { scope?: string } };
};

function addOperations(app: HttpApp, options: HttpOptions): void {
  const about = { service: options.service, version: options.version ?? '0.0.0' };
  const tags = ['operations'];
  app.get(
    '/health/live',
    {
      config: { public: true },
      schema: { operationId: 'live', tags, response: { 200: Type.Object({ status: Type.Literal('ok') }) } },
    },
    async () => ({ status: 'ok' as const }),
  );
  app.get(
    '/health/ready',
    { config: { public: true }, schema: { operationId: 'ready', tags, response: { 200: Readiness } } },
    async () => await checkReadiness(options.readiness, about, options.logger),
  );
  app.get(
    '/metrics',
    { config: { scope: 'operate' }, schema: { operationId: 'metrics', tags } },
    async (_request, reply) =>
      reply
        .header('content-type', options.metrics.registry.contentType)
        .send(await (options.metricsText?.() ?? options.metrics.registry.metrics())),
  );
  app.get('/openapi.json', { config: { public: true }, schema: { hide: true } as never }, async () => {
    const document = app.swagger();
    return (await options.openapi.extend?.(document)) ?? document;
  });
}
