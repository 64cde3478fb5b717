import type { Static } from 'typebox';
import Type from 'typebox';
import type { Upstreams } from '../proxy/upstream.ts';

/** A service that takes longer counts as down. */
const STATUS_TIMEOUT_MS = 2_500;

export const ServiceStatus = Type.Object({
  name: Type.String(),
  state: Type.Enum(['ready', 'not-ready', 'down'], {
    description: 'ready; not-ready: it runs, but something it needs is away; down: it does not answer.',
  }),
  version: Type.Union([Type.String(), Type.Null()]),
  latencyMs: Type.Union([Type.Number(), Type.Null()]),
  failing: Type.Array(Type.String(), { description: 'What the service needs and does not reach.' }),
});
export type ServiceStatus = Static<typeof ServiceStatus>;

/** Asks every service for its readiness at once. */
export async function readStatus(upstreams: Upstreams): Promise<ServiceStatus[]> {
  return await Promise.all(
    Object.entries(upstreams).map(async ([name, origin]) => await readOne(name, origin)),
  );
}

async function readOne(name: string, origin: string): Promise<ServiceStatus> {
  const startedMs = performance.now();
  try {
    const response = await fetch(`${origin}/health/ready`, {
      signal: AbortSignal.timeout(STATUS_TIMEOUT_MS),
    });
    const body = (await response.json()) as { version?: string; details?: { failing?: string[] } };
    return {
      name,
      state: response.ok ? 'ready' : 'not-ready',
      version: body.version ?? null,
      latencyMs: Math.round((performance.now() - startedMs) * 10) / 10,
      failing: body.details?.failing ?? [],
    };
  } catch {
    return { name, state: 'down', version: null, latencyMs: null, failing: [] };
  }
}
