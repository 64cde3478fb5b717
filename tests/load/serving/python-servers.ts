import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EnvironmentName } from '@millrace/embedded';
import { ensureEnvironment, environmentsRoot, REPOSITORY_ROOT } from '@millrace/embedded';
import type { Endpoint } from './payloads.ts';
import type { ProcessCommand } from './process-server.ts';
import { startServer } from './process-server.ts';
import type { Server, ServerContext } from './server.ts';

const PEERS = join(REPOSITORY_ROOT, 'tests', 'load', 'peers');
const V2_JSON: Endpoint = { dialect: 'v2-json', path: (model) => `/v2/models/${model}/infer` };
const V2_BINARY: Endpoint = { ...V2_JSON, dialect: 'v2-binary' };
const OCTETS: Endpoint = { dialect: 'octets', path: (model) => `/octets/${model}` };
const ROWS_MAX = 32;

type Command = Omit<ProcessCommand, 'name'>;
type PythonServer = Pick<Server, 'name' | 'about'> & {
  environment: EnvironmentName;
  json: Endpoint;
  binary?: Endpoint;
  /** Command within the environment's `bin`, arguments and variables. */
  command: (
    port: number,
    context: ServerContext,
  ) => { program: string; args: string[]; env?: NodeJS.ProcessEnv };
};

function pythonServer({ name, about, environment, json, binary, command }: PythonServer): Server {
  let folder = '';
  const build = (port: number, context: ServerContext): Command => {
    const { program, args, env } = command(port, context);
    const own = {
      PYTHONPATH: PEERS,
      PYTHONDONTWRITEBYTECODE: '1',
      OMP_NUM_THREADS: '1',
      NO_COLOR: '1',
      // what some keep in the user's folder or in /tmp goes with the run
      BENTOML_HOME: join(context.scratch, 'bentoml'),
      RAY_TMPDIR: context.scratch,
    };
    return { command: join(folder, 'bin', program), args, env: { ...own, PORT: String(port), ...env } };
  };
  return {
    name,
    about,
    endpoints: { json, ...(binary && { binary }) },
    async prepare() {
      folder = (await ensureEnvironment(environment, environmentsRoot(process.env), process.env)).folder;
    },
    start: (context) => startServer(context, json, (port) => ({ name, ...build(port, context) })),
  };
}

function uvicornServer(workers: number): Server {
  const program = 'uvicorn';
  return pythonServer({
    name: workers === 1 ? 'fastapi' : `fastapi-w${workers}`,
    about: `FastAPI 0.165.0, uvicorn 0.54.0 (uvloop, httptools), pydantic body, ${workers} worker(s), no access log`,
    environment: 'peer-fastapi',
    json: V2_JSON,
    binary: OCTETS,
    command: (port) => ({
      program,
      args: [
        'fastapi_server:app',
        '--port',
        String(port),
        '--log-level',
        'warning',
        '--no-access-log',
      ].concat(workers > 1 ? ['--workers', String(workers)] : []),
      env: { WORKERS: String(workers) },
    }),
  });
}

function mlserver(isBatching: boolean): Server {
  const name = isBatching ? 'mlserver-batch' : 'mlserver';
  const batching = isBatching ? { max_batch_size: ROWS_MAX, max_batch_time: 0.002 } : {};
  return pythonServer({
    name,
    about:
      `MLServer 1.7.1, parallel_workers 0, debug, metrics and gzip off, ` +
      (isBatching ? 'max_batch_size 32, max_batch_time 2 ms' : 'no batching'),
    environment: 'peer-mlserver',
    json: V2_JSON,
    command(port, { scratch, models }) {
      const folder = join(scratch, `${name}-settings`);
      for (const model of models.shared) {
        mkdirSync(join(folder, model), { recursive: true });
        const settings = { name: model, implementation: 'mlserver_model.OnnxModel', ...batching };
        writeFileSync(join(folder, model, 'model-settings.json'), JSON.stringify(settings));
      }
      const settings = {
        debug: false,
        host: '127.0.0.1',
        http_port: port,
        // its gRPC server cannot be turned off
        grpc_port: 0,
        metrics_endpoint: null,
        parallel_workers: 0,
        gzip_enabled: false,
      };
      writeFileSync(join(folder, 'settings.json'), JSON.stringify(settings));
      return { program: 'mlserver', args: ['start', folder] };
    },
  });
}

function litserve(isBatching: boolean): Server {
  return pythonServer({
    name: isBatching ? 'litserve-batch' : 'litserve',
    about: `LitServe 0.2.19, 1 worker a model, 1 API server, ${isBatching ? 'max_batch_size 32, batch_timeout 1 ms' : 'no batching'}`,
    environment: 'peer-litserve',
    json: V2_JSON,
    command: () => ({
      program: 'python',
      args: [join(PEERS, 'litserve_server.py')],
      env: { BATCH: isBatching ? '1' : '0' },
    }),
  });
}

/** The Python servers, each in an environment of its own that is made when it is first asked for. */
export const PYTHON_SERVERS: readonly Server[] = [
  uvicornServer(1),
  uvicornServer(2),
  mlserver(false),
  mlserver(true),
  pythonServer({
    name: 'kserve',
    about: 'KServe Python server 0.21.0, 1 worker, gRPC off, no access log, no latency log',
    environment: 'peer-kserve',
    json: V2_JSON,
    binary: V2_BINARY,
    command: () => ({ program: 'python', args: [join(PEERS, 'kserve_server.py')] }),
  }),
  pythonServer({
    name: 'bentoml',
    about:
      'BentoML 1.4.39, 1 worker, batchable with max_batch_size 32 and max_latency_ms 10000, NumPy from JSON',
    environment: 'peer-bentoml',
    json: { dialect: 'bento-json', path: (model) => `/${model}` },
    command: (port) => ({
      program: 'bentoml',
      args: ['serve', 'bentoml_service:Models', '--host', '127.0.0.1', '--port', String(port)],
      env: { BENTOML_DO_NOT_TRACK: 'True' },
    }),
  }),
  litserve(false),
  litserve(true),
  pythonServer({
    name: 'ray',
    about: 'Ray Serve 2.60.0, 1 replica, @serve.batch 32 rows or 2 ms, HTTP proxy, no dashboard',
    environment: 'peer-ray',
    json: V2_JSON,
    binary: OCTETS,
    command: () => ({
      program: 'python',
      args: [join(PEERS, 'ray_server.py')],
      env: { RAY_USAGE_STATS_ENABLED: '0' },
    }),
  }),
];
