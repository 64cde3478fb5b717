import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureEnvironment, environmentsRoot } from '@millrace/embedded';
import { startTestProcess } from './test-process.ts';

/** MLflow's own server under test. */
export type MlflowServerProcess = { readonly origin: string; stop(): Promise<void> };

/**
 * Starts `mlflow server`, of version 3 unless another environment is named, on SQLite unless a database is; its artifacts
 * lie in a folder that goes with it. Without `workers` it starts as many as it does by default.
 */
export async function startMlflowServer(
  options: {
    environment?: 'clients-mlflow3' | 'clients-mlflow2-server';
    backendStoreUri?: string;
    workers?: number;
    args?: readonly string[];
  } = {},
): Promise<MlflowServerProcess> {
  const { environment = 'clients-mlflow3' } = options;
  const { python } = await ensureEnvironment(environment, environmentsRoot(process.env), process.env);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-mlflow-server-'));
  const store = options.backendStoreUri ?? `sqlite:///${join(folder, 'mlflow.db')}`;
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const workers = options.workers === undefined ? [] : ['--workers', String(options.workers)];
  const place = ['--host', '127.0.0.1', '--port', String(port), ...workers];
  const stores = ['--backend-store-uri', store, '--artifacts-destination', join(folder, 'artifacts')];
  const server = await startTestProcess({
    name: 'mlflow-server',
    command: python,
    args: ['-m', 'mlflow', 'server', ...place, ...stores, ...(options.args ?? [])],
    env: { MLFLOW_DISABLE_TELEMETRY: 'true' },
    isReady: () =>
      fetch(`${origin}/health`).then(
        ({ ok }) => ok,
        () => false,
      ),
  });
  return {
    origin,
    async stop() {
      await server.stop();
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
