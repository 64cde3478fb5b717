import type { HttpApp } from '@millrace/service-kit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Asset } from './assets.ts';
import { loadAssets } from './assets.ts';

/** Scripts, styles and data come from this origin only; no page of another site may frame ours. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The landing page and the API documentation. Pages hold no data, so anyone may load them; what they ask for needs a key. */
export function pageRoutes(): (app: HttpApp) => Promise<void> {
  return async function registerPageRoutes(app) {
    for (const asset of loadAssets()) {
      app.get(
        asset.path,
        { config: { public: true }, schema: { hide: true } as never },
        async (request, reply) => sendAsset(request, reply, asset),
      );
    }
  };
}

function sendAsset(request: FastifyRequest, reply: FastifyReply, asset: Asset): FastifyReply {
  void reply
    .header('content-security-policy', CONTENT_SECURITY_POLICY)
    .header('referrer-policy', 'no-referrer')
    .header('cache-control', 'no-cache')
    .header('vary', 'accept-encoding')
    .header('etag', asset.etag);
  if (request.headers['if-none-match'] === asset.etag) return reply.code(304).send();
  void reply.header('content-type', asset.contentType);
  const takesGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  return takesGzip ? reply.header('content-encoding', 'gzip').send(asset.gzip) : reply.send(asset.bytes);
}
