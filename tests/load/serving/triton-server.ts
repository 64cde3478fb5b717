import { accessSync, constants, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Endpoint } from './payloads.ts';
import { startServer } from './process-server.ts';
import type { Server, ServerContext } from './server.ts';

const JSON_INFER: Endpoint = { dialect: 'v2-json', path: (model) => `/v2/models/${model}/infer` };
const BATCH_ROWS_MAX = 32;
const BACKENDS_DEFAULT = '/opt/tritonserver/backends';
const HTTP_THREADS = 2;

/** Folder of Triton's backends: MILLRACE_BENCH_TRITON_BACKENDS, else where its images have them. */
const backends = (): string => process.env.MILLRACE_BENCH_TRITON_BACKENDS || BACKENDS_DEFAULT;

function findProgram(): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/opt/tritonserver/bin'];
  return (
    folders.map((folder) => join(folder, 'tritonserver')).find((file) => canRead(file, constants.X_OK)) ??
    null
  );
}

function canRead(file: string, mode = constants.R_OK): boolean {
  try {
    accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
}

/** Triton with its ONNX Runtime backend, where the machine has both: no package registry has the two. */
export const tritonServer: Server = {
  name: 'triton',
  about:
    'Triton with its ONNX Runtime backend, dynamic batching to 32 rows without delay, 1 instance a model, 2 HTTP threads, ' +
    'gRPC and metrics off',
  endpoints: { json: JSON_INFER, binary: { ...JSON_INFER, dialect: 'v2-binary' } },
  missing() {
    if (findProgram() === null) return 'no tritonserver on PATH or in /opt/tritonserver/bin';
    const backend = join(backends(), 'onnxruntime', 'libtriton_onnxruntime.so');
    if (canRead(backend)) return null;
    return `no onnxruntime/libtriton_onnxruntime.so in ${backends()}; MILLRACE_BENCH_TRITON_BACKENDS names the folder`;
  },
  start: (context) =>
    startServer(context, JSON_INFER, (port) => ({
      name: 'triton',
      command: findProgram() ?? 'tritonserver',
      args: [
        `--model-repository=${writeRepository(context)}`,
        `--backend-directory=${backends()}`,
        '--http-address=127.0.0.1',
        `--http-port=${port}`,
        `--http-thread-count=${HTTP_THREADS}`,
        '--allow-grpc=false',
        '--allow-metrics=false',
        '--log-info=false',
      ],
      env: { LD_LIBRARY_PATH: process.env.LD_LIBRARY_PATH },
    })),
};

function writeRepository({ scratch, models }: ServerContext): string {
  const repository = join(scratch, 'triton-models');
  for (const name of models.shared) {
    const folder = join(repository, name, '1');
    mkdirSync(folder, { recursive: true });
    cpSync(join(models.folder, `${name}.onnx`), join(folder, 'model.onnx'));
    const threads = { intra_op_thread_count: name === 'cnn' ? 2 : 1, inter_op_thread_count: 1 };
    const parameters = Object.entries(threads).map(
      ([key, value]) => `parameters { key: "${key}" value: { string_value: "${value}" } }`,
    );
    const lines = [
      `name: "${name}"`,
      'backend: "onnxruntime"',
      `max_batch_size: ${BATCH_ROWS_MAX}`,
      'dynamic_batching { }',
      'instance_group [ { kind: KIND_CPU count: 1 } ]',
      ...parameters,
    ];
    writeFileSync(join(repository, name, 'config.pbtxt'), `${lines.join('\n')}\n`);
  }
  return repository;
}
