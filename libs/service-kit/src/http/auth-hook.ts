import { AppError } from '@millrace/contracts';
import type { FastifyInstance, RouteOptions } from 'fastify';
import type { Auth } from '../auth/auth.ts';
import { bearerOf } from '../auth/basic.ts';
import type { Principal, Scope } from '../auth/scopes.ts';
import { isScope } from '../auth/scopes.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Scope that a request to this route needs. */
    scope?: Scope;
    /** The route needs a known principal; who answers behind it checks the scope. Only for proxies. */
    authenticated?: true;
    /** HTTP Basic is taken as well, with the API key or token as password: for tools that send nothing else. */
    basicAuth?: true;
    /** The route is open to everyone. */
    public?: true;
  }
  interface FastifyRequest {
    /** Who makes the request; on public routes of a required-auth service this is the anonymous principal. */
    principal: Principal;
  }
}

/** Who makes a request to a public route: nobody in particular, with no scope. */
export const anonymousPrincipal: Principal = Object.freeze({
  id: 'anonymous',
  tenant: 'default',
  scopes: [],
});

const KEY_IN_URL = /mlr_[0-9a-zA-Z]{1,64}_[A-Za-z0-9_-]{20,}/;

/**
 * Checks each request before its body is read. Adding a route that declares neither `config.scope` nor
 * `config.public` throws, so that none can be open by mistake.
 */
export function addAuth(app: FastifyInstance, auth: Auth): void {
  app.decorateRequest('principal', null as unknown as Principal);
  app.addHook('onRoute', assertDeclared);
  app.addHook('onRequest', (request, _reply, done) => {
    request.principal = anonymousPrincipal;
    if (KEY_IN_URL.test(request.raw.url ?? '')) {
      throw new AppError(
        'invalid_request',
        'An API key must not be in the URL, where logs keep it; send it as Authorization: Bearer <key>.',
      );
    }
    const { scope, authenticated } = request.routeOptions.config;
    // An unknown route has neither: it is answered with 404 whoever asks.
    if (scope === undefined && authenticated !== true) return done();
    const { host, origin } = request.headers;
    const given = request.headers.authorization;
    const authorization = request.routeOptions.config.basicAuth === true ? bearerOf(given) : given;
    const remoteAddress = request.socket.remoteAddress;
    const known = auth.authenticate({
      authorization,
      host,
      origin,
      remoteAddress,
      connection: request.socket,
    });
    const admit = (principal: Principal): void => {
      request.principal = principal;
      if (scope !== undefined) auth.authorize(principal, scope);
    };
    if (known instanceof Promise) {
      known.then(admit).then(() => done(), done);
      return;
    }
    admit(known);
    done();
  });
}

function assertDeclared(route: RouteOptions): void {
  const { scope, authenticated } = route.config ?? {};
  const declared = [
    route.config?.public === true,
    authenticated === true,
    scope !== undefined && isScope(scope),
  ];
  if (declared.filter(Boolean).length === 1 && (scope === undefined || isScope(scope))) return;
  throw new TypeError(
    `Route ${String(route.method)} ${route.url} must declare config.scope (a known one) or config.public, and not both.`,
  );
}
