import { nodeFlags } from '@millrace/embedded';
import { createTestDatabase, startMlflowServer } from '@millrace/testing';
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

/** The registry as a process of its own, with the bounds of its memory that a platform starts it with. */
export async function startMillrace(): Promise<TrackingServer> {
  const env = { NODE_OPTIONS: nodeFlags('registry').join(' ') };
  const stack = await startRegistryStack({ withInference: false, env });
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
  const database = await createTestDatabase();
  const backendStoreUri = database.url.replace(/^postgres:/, 'postgresql+psycopg2:');
  const mlflow = await startMlflowServer({ backendStoreUri });
  return {
    name: 'mlflow',
    about: 'mlflow 3.17.2, four workers',
    address: new URL(mlflow.origin).host,
    databaseUrl: database.url,
    async stop() {
      await mlflow.stop();
      await database.drop();
    },
  };
}
