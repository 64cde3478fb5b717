import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '@millrace/bus';
import { connectBus, ensureStreams } from '@millrace/bus';
import { nodeFlags } from '@millrace/embedded';
import { generateKeyPair } from '@millrace/integrity';
import { createLogger } from '@millrace/service-kit';
import type { ServiceProcess } from '@millrace/testing';
import { createTestDatabase, startNats, startServiceProcess } from '@millrace/testing';

/** Monitoring as a process of its own on a database and a NATS of its own. */
export type MonitoringBench = {
  readonly bus: Bus;
  readonly databaseUrl: string;
  readonly service: () => ServiceProcess;
  /** Starts it again after it was killed. */
  start(): Promise<void>;
  stop(): Promise<void>;
};

/** Starts monitoring with the bounds of its memory that a platform starts it with. */
export async function startMonitoringBench(): Promise<MonitoringBench> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-monitoring-bench-'));
  const keyFile = join(folder, 'auth.pem');
  writeFileSync(keyFile, generateKeyPair().publicKeyPem);
  const [nats, database] = await Promise.all([startNats(), createTestDatabase()]);
  const logger = createLogger({ service: 'bench', level: 'error' });
  const bus = await connectBus({
    url: nats.servicesUrl,
    name: 'bench',
    inboxPrefix: '_INBOX_services',
    logger,
  });
  await ensureStreams(bus);
  const start = (): Promise<ServiceProcess> =>
    startServiceProcess('monitoring', {
      MILLRACE_DATABASE_URL: database.url,
      MILLRACE_NATS_URL: nats.servicesUrl,
      MILLRACE_AUTH_MODE: 'local',
      MILLRACE_AUTH_PUBLIC_KEY_FILE: keyFile,
      NODE_OPTIONS: nodeFlags('monitoring').join(' '),
    });
  let service = await start();
  return {
    bus,
    databaseUrl: database.url,
    service: () => service,
    async start() {
      service = await start();
    },
    async stop() {
      await service.stop();
      await bus.close();
      await Promise.all([nats.stop(), database.drop()]);
      rmSync(folder, { recursive: true });
    },
  };
}
