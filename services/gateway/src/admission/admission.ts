import { isAppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AuditWriter } from '../audit/audit.writer.ts';
import type { AuditEntry, AuditKind } from '../audit/audit-entry.ts';
import type { RateLimit } from './rate-limit.ts';
import type { TenantQuotas } from './tenant-quotas.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The answer waits until the audit log has a row of it: for changes of who may do what. */
    isAuditedFirst?: true;
  }
}

/** Requests that come by the thousand: they are counted, and the audit log leaves them out. */
const COUNTED =
  /^\/(predict|feedback)$|^\/v2\/models\/|^\/api\/2\.0\/mlflow\/runs\/log-(metric|batch|parameter)$/;
const PREDICTION = /^\/predict$|^\/v2\/models\//;
/** Longest path and route that the log keeps (characters). */
const TEXT_CHARS_MAX = 512;
const REFUSALS = new Set([401, 403, 421]);
const KEY_LIKE = /mlr_[0-9a-zA-Z]{1,64}_[A-Za-z0-9_-]{20,}/;

type Passing = { code?: string; isLogged?: boolean };

/**
 * What every request passes: the rate of its principal, the quotas of its tenant, and the audit log. Add it after auth.
 * A request counts as open until its answer is sent or its caller has gone.
 */
export function addAdmission(
  app: HttpApp,
  deps: { takeRequest: RateLimit; quotas: TenantQuotas; audit: AuditWriter },
): void {
  const { takeRequest, quotas, audit } = deps;
  const passings = new WeakMap<FastifyRequest, Passing>();
  const passing = (request: FastifyRequest): Passing => {
    const known = passings.get(request) ?? {};
    passings.set(request, known);
    return known;
  };

  app.addHook('onRequest', (request, reply, done) => {
    const { id, tenant } = request.principal;
    if (id === 'anonymous') return done();
    takeRequest(id);
    const notice = quotas.enter(tenant);
    reply.raw.once('close', () => {
      quotas.leave(tenant);
      ended(request, reply);
    });
    if (notice !== undefined) {
      void reply.header('ratelimit-policy', `"tenant";q=${notice.limit};w=1`);
      void reply.header('ratelimit', `"tenant";r=${notice.remaining};t=${notice.resetSeconds}`);
    }
    done();
  });

  // what auth and the bounds refuse never comes as far as the hook above
  app.addHook('onError', (request, _reply, error, done) => {
    const code = isAppError(error) ? error.code : undefined;
    const { principal } = request;
    const own = passing(request);
    if (code !== undefined) own.code = code;
    if (isAppError(error) && REFUSALS.has(error.status))
      log(request, { kind: 'denial', status: error.status });
    if (code === 'quota_exceeded' || code === 'rate_limited') audit.count(principal.tenant, { refused: 1 });
    done();
  });

  app.addHook('onSend', async (request, reply, payload) => {
    const isChange = request.method !== 'GET' && request.routeOptions.config.isAuditedFirst === true;
    if (isChange && !passing(request).isLogged) {
      const entry = entryOf(request, { kind: 'request', status: reply.statusCode });
      passing(request).isLogged = true;
      await audit.write(entry).catch((error: unknown) => {
        request.log.error({ err: error }, 'A change is not in the audit log yet; its row waits.');
        audit.add(entry);
      });
    }
    return payload;
  });

  function ended(request: FastifyRequest, reply: FastifyReply): void {
    const path = pathOf(request);
    const isPrediction = PREDICTION.test(path) && request.method === 'POST';
    audit.count(request.principal.tenant, { requests: 1, predictions: isPrediction ? 1 : 0 });
    const status = reply.raw.headersSent ? reply.raw.statusCode : 499;
    if (status === 401 || status === 403) log(request, { kind: 'denial', status });
    else if (request.method !== 'GET' && request.method !== 'HEAD' && !COUNTED.test(path))
      log(request, { kind: 'request', status });
  }

  function log(request: FastifyRequest, what: { kind: AuditKind; status: number }): void {
    const own = passing(request);
    if (own.isLogged === true) return;
    own.isLogged = true;
    audit.add(entryOf(request, what));
  }

  function entryOf(request: FastifyRequest, what: { kind: AuditKind; status: number }): AuditEntry {
    const { principal, method, id } = request;
    const path = pathOf(request);
    return {
      ...what,
      tenant: principal.tenant,
      at: new Date(),
      principal: principal.id,
      method,
      route: (request.routeOptions.url ?? 'unknown').slice(0, TEXT_CHARS_MAX),
      resource: KEY_LIKE.test(path) ? 'hidden: it holds a key' : path.slice(0, TEXT_CHARS_MAX),
      code: passing(request).code ?? null,
      requestId: id,
      remoteAddress: request.socket.remoteAddress ?? '-',
    };
  }
}

function pathOf(request: FastifyRequest): string {
  const url = request.raw.url ?? '/';
  const end = url.indexOf('?');
  return end === -1 ? url : url.slice(0, end);
}
