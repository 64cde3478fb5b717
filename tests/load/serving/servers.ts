import { join } from 'node:path';
import { nodeBinary, REPOSITORY_ROOT } from '@millrace/embedded';
import { millraceServer } from './millrace-server.ts';
import type { Endpoint } from './payloads.ts';
import { startServer } from './process-server.ts';
import { PYTHON_SERVERS } from './python-servers.ts';
import type { Server } from './server.ts';
import { tritonServer } from './triton-server.ts';

/** What all others are compared with. */
export const BASELINE = 'node-naive';

const JSON_INFER: Endpoint = { dialect: 'v2-json', path: (model) => `/v2/models/${model}/infer` };
const OCTETS: Endpoint = { dialect: 'octets', path: (model) => `/octets/${model}` };

/** A server of one file for Node. */
function nodeServer(file: string, about: Pick<Server, 'name' | 'about'> & { workers: number }): Server {
  const { workers, ...described } = about;
  return {
    ...described,
    endpoints: { json: JSON_INFER, binary: OCTETS },
    start: (context) =>
      startServer(context, JSON_INFER, (port) => ({
        name: about.name,
        command: nodeBinary(),
        args: [join(REPOSITORY_ROOT, 'tests', 'load', 'peers', file)],
        env: { PORT: String(port), WORKERS: String(workers), NODE_ENV: 'production' },
      })),
  };
}

function nodeNaive(workers: number): Server {
  const name = workers === 1 ? BASELINE : `${BASELINE}-w${workers}`;
  return nodeServer('node-naive.ts', {
    name,
    workers,
    about:
      `fastify 5.12.8 and onnxruntime-node 1.30.0 in one file (tests/load/peers/node-naive.ts), ${workers} process(es), ` +
      'no logger, JSON by fastify or the bare tensor as octets, one run a request',
  });
}

const ECHO_WORKERS = 2;
const nodeEcho: Server = {
  ...nodeServer('node-echo.ts', {
    name: 'node-echo',
    workers: ECHO_WORKERS,
    about: `what sockets of Node take by themselves (tests/load/peers/node-echo.ts), ${ECHO_WORKERS} processes: no HTTP server, no number read, no model; its answers are not compared`,
  }),
  isBound: true,
};

/** Every server there is, in the order of a forward round. */
export const SERVERS: readonly Server[] = [
  millraceServer('millrace', 'inference'),
  nodeNaive(1),
  nodeNaive(2),
  nodeEcho,
  tritonServer,
  ...PYTHON_SERVERS,
  millraceServer('millrace-gateway', 'gateway'),
];
