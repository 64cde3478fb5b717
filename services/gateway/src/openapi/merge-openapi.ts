import type { Logger } from '@millrace/service-kit';
import type { Upstreams } from '../proxy/upstream.ts';

/** A service that takes longer is left out of the document. */
const OPENAPI_TIMEOUT_MS = 2_500;
/** Paths every service has for itself; the gateway's own are shown. */
const OPERATIONS = new Set(['/health/live', '/health/ready', '/metrics', '/openapi.json']);

type OpenApi = { paths?: Record<string, object>; components?: Record<string, Record<string, unknown>> };

/** Adds the paths of every service that answers to the gateway's own document. */
export async function mergeOpenApi(own: OpenApi, upstreams: Upstreams, logger: Logger): Promise<OpenApi> {
  const documents = await Promise.all(
    Object.entries(upstreams).map(async ([name, origin]) => await readDocument(name, origin, logger)),
  );
  const merged: OpenApi = { ...own, paths: { ...own.paths }, components: { ...own.components } };
  for (const document of documents) {
    for (const [path, item] of Object.entries(document.paths ?? {})) {
      if (!OPERATIONS.has(path))
        merged.paths = { ...merged.paths, [path]: { ...merged.paths?.[path], ...item } };
    }
    for (const [kind, entries] of Object.entries(document.components ?? {})) {
      merged.components = { ...merged.components, [kind]: { ...entries, ...merged.components?.[kind] } };
    }
  }
  return merged;
}

async function readDocument(name: string, origin: string, logger: Logger): Promise<OpenApi> {
  try {
    const response = await fetch(`${origin}/openapi.json`, {
      signal: AbortSignal.timeout(OPENAPI_TIMEOUT_MS),
    });
    return response.ok ? ((await response.json()) as OpenApi) : {};
  } catch (error) {
    logger.warn(
      { service: name, err: error },
      'A service is left out of the API document: it does not answer.',
    );
    return {};
  }
}
