import { join } from 'node:path';
import { nodeBinary, REPOSITORY_ROOT } from '@millrace/embedded';
import { millraceServer } from './millrace-server.ts';
import { startServer } from './process-server.ts';
import { PYTHON_SERVERS } from './python-servers.ts';
import type { Server } from './server.ts';
import { tritonServer } from './triton-server.ts';

/** What all others are compared with. */
export const BASELINE = 'node-naive';

function nodeNaive(workers: number): Server {
  const name = workers === 1 ? BASELINE : `${BASELINE}-w${workers}`;
  return {
    name,
    about:
      `fastify 5.12.8 and onnxruntime-node 1.30.0 in one file (tests/load/peers/node-naive.ts), ${workers} process(es), ` +
      'no logger, JSON by fastify or the bare tensor as octets, one run a request',
    endpoints: {
      json: { dialect: 'v2-json', path: (model) => `/v2/models/${model}/infer` },
      binary: { dialect: 'octets', path: (model) => `/octets/${model}` },
    },
    start: (context) =>
      startServer(context, { dialect: 'v2-json', path: (model) => `/v2/models/${model}/infer` }, (port) => ({
        name,
        command: nodeBinary(),
        args: [join(REPOSITORY_ROOT, 'tests', 'load', 'peers', 'node-naive.ts')],
        env: { PORT: String(port), WORKERS: String(workers), NODE_ENV: 'production' },
      })),
  };
}

/** Every server there is, in the order of a forward round. */
export const SERVERS: readonly Server[] = [
  millraceServer('millrace', 'inference'),
  nodeNaive(1),
  nodeNaive(2),
  tritonServer,
  ...PYTHON_SERVERS,
  millraceServer('millrace-gateway', 'gateway'),
];
