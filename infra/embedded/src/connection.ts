import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isAlive, type ProcessId } from './pid-file.ts';

/** How to reach a running platform: what `.millrace/connection.json` holds. */
export type Connection = {
  /** Origin of the public door, `http://host:port`. */
  gateway: string;
  /** Origin of the inference service. */
  inference: string;
  /** `host:port` of the inference service over gRPC. */
  grpc: string;
  /** URL with user and password. */
  nats: string;
  /** URL with user and password. */
  database: string;
  s3: { endpoint: string; region: string; bucket: string; accessKeyId: string; secretAccessKey: string };
  /** The first admin API key. */
  token: string;
  /** Process ids by part; `supervisor` ends them all when it gets SIGTERM. */
  pids: Record<string, number>;
  /** Start time of the supervisor in clock ticks since boot: a reused pid is told apart by it. */
  supervisorStartTicks: number;
};

/** Writes the file whole, readable by its owner alone. */
export function writeConnection(file: string, connection: Connection): void {
  const draft = `${file}.${process.pid}`;
  rmSync(draft, { force: true });
  writeFileSync(draft, `${JSON.stringify(connection, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(draft, file);
}

/** The connection of a platform whose supervisor runs; null, and the stale file removed, when it does not. */
export function readConnection(file: string): Connection | null {
  let connection: Connection;
  try {
    connection = JSON.parse(readFileSync(file, 'utf8')) as Connection;
  } catch {
    return null;
  }
  if (isAlive(supervisorOf(connection))) return connection;
  removeConnection(file);
  return null;
}

/** Removes the file; nothing happens when there is none. */
export function removeConnection(file: string): void {
  rmSync(file, { force: true });
}

/** The process that started the platform and ends it. */
export function supervisorOf(connection: Connection): ProcessId {
  return { pid: connection.pids.supervisor ?? 0, startTicks: connection.supervisorStartTicks };
}
