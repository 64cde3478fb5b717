import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureEnvironment, environmentsRoot } from '@millrace/embedded';
import { createTestDatabase, startTestProcess } from '@millrace/testing';
import { startRegistryStack } from '../../../services/registry/test/support/registry-stack.ts';

/** A tracking server under test and its database. */
export type TrackingServer = {
  readonly name: 'millrace' | 'mlflow';
  readonly about: string;
  /** host:port */
  readonly address: string;
  readonly databaseUrl: string;
  stop(): Promise<void>;
};

/** The registry as a process of its own, started as the tests start it. */
export async function startMillrace(): Promise<TrackingServer> {
  const stack = await startRegistryStack({ withInference: false });
  return {
    name: 'millrace',
    about: 'one process',
    address: new URL(stack.registry.origin).host,
    databaseUrl: stack.databaseUrl,
    stop: () => stack.stop(),
  };
}

/** `mlflow server` with its own defaults (four workers) on a database of the same Postgres. */
export async function startMlflow(): Promise<TrackingServer> {
  const { python } = await ensureEnvironment('clients-mlflow3', environmentsRoot(process.env), process.env);
  const database = await createTestDatabase();
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-mlflow-'));
  const port = await freePort();
  const store = ['--backend-store-uri', database.url.replace(/^postgres:/, 'postgresql+psycopg2:')];
  const mlflow = await startTestProcess({
    name: 'mlflow-server',
    command: python,
    args: [
      '-m',
      'mlflow',
      'server',
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
      ...store,
      '--artifacts-destination',
      folder,
    ],
    env: { MLFLOW_DISABLE_TELEMETRY: 'true' },
    isReady: () =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        ({ ok }) => ok,
        () => false,
      ),
  });
  return {
    name: 'mlflow',
    about: 'mlflow 3.17.2, four workers',
    address: `127.0.0.1:${port}`,
    databaseUrl: database.url,
    async stop() {
      await mlflow.stop();
      await database.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
