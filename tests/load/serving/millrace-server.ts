import { cpSync, existsSync, mkdirSync, openAsBlob, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Home, Platform } from '@millrace/embedded';
import { environmentsRoot, openHome, startPlatform } from '@millrace/embedded';
import type { Endpoint } from './payloads.ts';
import { startServer } from './process-server.ts';
import type { RunningServer, Server, ServerContext } from './server.ts';

const VERSION = '1';
const JSON_INFER: Endpoint = { dialect: 'v2-json', path: (model) => `/v2/models/${model}/infer` };
const BINARY_INFER: Endpoint = { ...JSON_INFER, dialect: 'v2-binary' };
/** No load of this benchmark may meet the bound that protects the gateway. */
const RATE_PER_SECOND = '1000000';

/** Millrace itself, asked at its inference service or through its gateway. */
export function millraceServer(name: string, door: 'inference' | 'gateway'): Server {
  const asked = door === 'inference' ? 'straight to its inference service' : 'through its gateway';
  return {
    name,
    about:
      `the whole platform but its Python workers, as \`npm run up\` starts it; asked ${asked} with an API key; ` +
      'authentication, metrics and telemetry on, no response cache; models uploaded by POST /model/upload, packages verified',
    endpoints: { json: JSON_INFER, binary: BINARY_INFER },
    async prepare(context) {
      if (uploaded.has(context)) return;
      const platform = await startOne(context);
      try {
        await uploadModels(platform, context);
        uploaded.add(context);
      } finally {
        await platform.stop();
      }
    },
    async start(context) {
      const platform = await startOne(context);
      try {
        return await describe(door, { platform, home: homeOf(context), context });
      } catch (error) {
        await platform.stop();
        throw error;
      }
    },
  };
}

/** Runs whose platform has the models; each start of its home finds them. */
const uploaded = new WeakSet<ServerContext>();

function homeOf({ scratch }: ServerContext): Home {
  return openHome(join(scratch, 'millrace'));
}

function startOne(context: ServerContext): Promise<Platform> {
  const env = {
    ...process.env,
    MILLRACE_GATEWAY_PORT: '0',
    MILLRACE_INFERENCE_PORT: '0',
    MILLRACE_GRPC_PORT: '0',
    MILLRACE_AUTH_MODE: 'required',
    MILLRACE_RATE_PER_SECOND: RATE_PER_SECOND,
  };
  const environmentsFolder = environmentsRoot(process.env);
  return startPlatform(
    { home: homeOf(context), environmentsFolder, env, only: ['server', 'service'], onMessage: context.print },
    context.signal,
  );
}

type Started = { platform: Platform; home: Home; context: ServerContext };

async function describe(door: 'inference' | 'gateway', started: Started): Promise<RunningServer> {
  const { platform } = started;
  const parts = door === 'inference' ? ['inference'] : ['inference', 'gateway'];
  const isAlone = door === 'inference';
  const cold = isAlone ? await startSecond(started, false) : null;
  const warm = isAlone ? await startSecond(started, true) : null;
  return {
    origin: platform.connection[door],
    headers: { authorization: `Bearer ${platform.connection.token}` },
    startMs: warm,
    notes: cold === null ? [] : [`first right answer with an empty model cache after ${Math.round(cold)} ms`],
    processes: () =>
      platform.state().parts.flatMap(({ name, pid }) => (parts.includes(name) && pid !== null ? [pid] : [])),
    stop: platform.stop,
  };
}

async function uploadModels(platform: Platform, { models }: ServerContext): Promise<void> {
  const { gateway, token } = platform.connection;
  for (const { name, file } of models.byName.values()) {
    const form = new FormData();
    form.set('modelId', name);
    form.set('version', VERSION);
    form.set('framework', 'onnx');
    form.set('file', await openAsBlob(file), basename(file));
    const response = await fetch(`${gateway}/model/upload`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: form,
    });
    if (!response.ok) throw new Error(`upload of ${name}: ${response.status} ${await response.text()}`);
    await response.body?.cancel();
  }
}

/**
 * Starts one more inference service beside the platform's, with the same command and variables, and ends it: the time
 * to its first right answer (ms). Its model cache is a copy of the other's, or empty: then the model comes from S3.
 */
async function startSecond(started: Started, isWarm: boolean): Promise<number | null> {
  const { platform, home, context } = started;
  const pid = platform.state().parts.find(({ name }) => name === 'inference')?.pid;
  const [command = '', ...args] = zeroSeparated(`/proc/${pid}/cmdline`);
  const variables = Object.fromEntries(
    zeroSeparated(`/proc/${pid}/environ`).map((line) => [
      line.slice(0, line.indexOf('=')),
      line.slice(line.indexOf('=') + 1),
    ]),
  );
  const cache = join(context.scratch, 'second-inference-cache');
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  const own = join(home.data, 'inference-cache');
  if (isWarm && existsSync(own)) cpSync(own, cache, { recursive: true });
  const second = await startServer(
    context,
    JSON_INFER,
    (port) => ({
      name: 'millrace-second',
      command,
      args,
      env: { ...variables, MILLRACE_PORT: String(port), MILLRACE_GRPC_PORT: '0', MILLRACE_CACHE_DIR: cache },
      cwd: `/proc/${pid}/cwd`,
    }),
    { authorization: `Bearer ${platform.connection.token}` },
  );
  await second.stop();
  return second.startMs;
}

function zeroSeparated(file: string): string[] {
  return readFileSync(file, 'utf8').split('\0').filter(Boolean);
}
