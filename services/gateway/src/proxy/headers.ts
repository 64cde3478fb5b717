import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** Headers that belong to one connection and are never passed on (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** Headers by which a client could pretend to be a proxy or to come from elsewhere, and those the gateway answers. */
const NOT_FORWARDED = new Set([
  'host',
  'origin',
  'expect',
  'forwarded',
  'via',
  'x-real-ip',
  'x-original-url',
  'x-rewrite-url',
  'x-request-id',
]);

/** The headers of a request as its service gets them. */
export function requestHeaders(headers: IncomingHttpHeaders, requestId: string): OutgoingHttpHeaders {
  const kept: OutgoingHttpHeaders = {};
  const named = connectionTokens(headers.connection);
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || NOT_FORWARDED.has(name) || name.startsWith('x-forwarded-') || named.has(name))
      continue;
    kept[name] = headers[name];
  }
  kept['x-request-id'] = requestId;
  // A body of unknown length stays one; of known length has its content-length.
  if (headers['transfer-encoding'] !== undefined) kept['transfer-encoding'] = 'chunked';
  return kept;
}

/** The headers of a service's answer as the client gets them. */
export function responseHeaders(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  const named = connectionTokens(headers.connection);
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || HOP_BY_HOP.has(name) || named.has(name) || name === 'x-request-id') continue;
    kept[name] = value;
  }
  return kept;
}

function connectionTokens(value: string | undefined): ReadonlySet<string> {
  if (value === undefined) return NO_TOKENS;
  return new Set(value.split(',').map((token) => token.trim().toLowerCase()));
}

const NO_TOKENS: ReadonlySet<string> = new Set();
