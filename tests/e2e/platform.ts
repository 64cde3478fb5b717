import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Platform } from '@millrace/embedded';
import { environmentsRoot, openHome, startPlatform } from '@millrace/embedded';
import { eventually } from '@millrace/testing';

export type TestPlatform = {
  platform: Platform;
  /** Folder of the platform's state. */
  root: string;
  /** JSON in, JSON out, through the gateway. */
  call: (method: string, path: string, body?: unknown) => Promise<{ status: number; body: Json }>;
  stop: () => Promise<void>;
};

/** A JSON object whose fields a test knows by the contract. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads fields of answers it has just checked by value
export type Json = Record<string, any>;

/** The whole platform, with servers, services and workers of its own, on free ports in a throwaway home. */
export async function startTestPlatform(env: Record<string, string> = {}): Promise<TestPlatform> {
  const root = mkdtempSync(join(tmpdir(), 'millrace-e2e-'));
  chmodSync(root, 0o755);
  const platform = await startPlatform({
    home: openHome(root),
    environmentsFolder: environmentsRoot(process.env),
    env: {
      ...process.env,
      MILLRACE_GATEWAY_PORT: '0',
      MILLRACE_INFERENCE_PORT: '0',
      ...env,
    },
  });
  const origin = platform.connection.gateway;
  return {
    platform,
    root,
    async call(method, path, body) {
      const response = await fetch(`${origin}${path}`, {
        method,
        ...(body === undefined
          ? {}
          : body instanceof FormData
            ? { body }
            : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Json) };
    },
    async stop() {
      await platform.stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Waits until a pipeline ends; throws with its error unless it succeeded. */
export async function pipelineDone(test: TestPlatform, id: string, timeoutMs: number): Promise<Json> {
  return eventually(
    async () => {
      const { status, body } = await test.call('GET', `/v1/pipelines/${id}`);
      // while a server is away the answer is a 503, never anything else
      if (status !== 200) throw new Error(`${status} ${body.code}`);
      if (body.state === 'running') throw new Error(`still at ${body.stage}`);
      return body;
    },
    { timeoutMs, intervalMs: 200 },
  );
}
