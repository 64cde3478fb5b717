import type { AddressInfo } from 'node:net';
import type { AuthMode } from '../auth/auth.ts';
import { isLoopbackBinding } from '../auth/loopback.ts';
import { ConfigError } from '../config/config.ts';
import type { Logger } from '../logger.ts';
import type { HttpApp } from './create-http.ts';

/**
 * Listens and logs one line `listening` with the port. Throws ConfigError when requests need no key (mode `local`)
 * while the host can be reached from elsewhere, or when the port is taken.
 */
export async function listenHttp(
  app: HttpApp,
  options: { host: string; port: number; authMode: AuthMode; logger: Logger },
): Promise<{ host: string; port: number; origin: string }> {
  assertSafeBinding(options.host, options.authMode);
  try {
    await app.listen({ host: options.host, port: options.port });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new ConfigError([
      `MILLRACE_PORT ${options.port} on ${options.host} is taken; choose another or stop what uses it.`,
    ]);
  }
  const { port } = app.server.address() as AddressInfo;
  const name = options.host.includes(':') ? `[${options.host}]` : options.host;
  options.logger.info({ host: options.host, port }, 'listening');
  return { host: options.host, port, origin: `http://${name}:${port}` };
}

/** Throws ConfigError when a service without keys would be reachable from another machine. */
export function assertSafeBinding(host: string, authMode: AuthMode): void {
  if (authMode !== 'local' || isLoopbackBinding(host)) return;
  throw new ConfigError([
    `MILLRACE_AUTH_MODE=local needs MILLRACE_HOST to be a loopback address, got '${host}'; set MILLRACE_AUTH_MODE=required.`,
  ]);
}
