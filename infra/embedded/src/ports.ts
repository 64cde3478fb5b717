import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { LaunchError } from './launch-error.ts';

/** Ports are picked below the kernel's ephemeral range, so that a restarted server finds its port still free. */
const FIRST_PORT = 15_000;
const LAST_PORT = 22_000;
const PICK_ATTEMPTS = 200;

/** SeaweedFS listens for gRPC at each of its ports plus this. */
export const GRPC_PORT_OFFSET = 10_000;

const given = new Set<number>();

/** True when nothing listens on `host:port` and a socket could be bound there. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.unref();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A port that is free now on loopback, never given twice by this process; with `withGrpc` port + 10000 is free too. */
export async function freePort(options: { withGrpc?: boolean } = {}): Promise<number> {
  for (let attempt = 0; attempt < PICK_ATTEMPTS; attempt += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (given.has(port)) continue;
    if (!(await isPortFree(port))) continue;
    if (options.withGrpc && !(await isPortFree(port + GRPC_PORT_OFFSET))) continue;
    given.add(port);
    return port;
  }
  throw new LaunchError('ports', `no free port between ${FIRST_PORT} and ${LAST_PORT}; stop what holds them`);
}

/** Returns `port` when it is free; throws a LaunchError that names the environment variable which moves the part. */
export async function requirePort(part: string, port: number, variable: string): Promise<number> {
  if (await isPortFree(port)) return port;
  throw new LaunchError(
    part,
    `port ${port} is taken by another program. Stop it, or choose another port: ${variable}=${port + 1}`,
  );
}
