// The server most people would write by hand: fastify parses the JSON, onnxruntime runs each request by itself.
// PORT, MODELS (a folder), WORKERS: processes.
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fastify from 'fastify';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const { MODELS = '', PORT = '9000', WORKERS = '1' } = process.env;
const BODY_BYTES_MAX = 64 * 1024 * 1024;
const IMAGE_THREADS = Number(WORKERS) > 1 ? 1 : 2;
type InferBody = { inputs: [{ shape: number[]; data: number[] }] };
type Described = { models: Record<string, { input: string; output: string; row: number[] }> };

async function serve(): Promise<void> {
  const { models } = JSON.parse(readFileSync(join(MODELS, 'models.json'), 'utf8')) as Described;
  const sessions = new Map<string, InferenceSession>();
  for (const name of Object.keys(models)) {
    const intraOpNumThreads = name === 'cnn' ? IMAGE_THREADS : 1;
    const options = { intraOpNumThreads, interOpNumThreads: 1 };
    sessions.set(name, await InferenceSession.create(join(MODELS, `${name}.onnx`), options));
  }
  const run = async (name: string, data: Float32Array, shape: readonly number[]): Promise<Tensor> => {
    const { input = '', output = '' } = models[name] ?? {};
    const answer = await sessions.get(name)?.run({ [input]: new Tensor('float32', data, shape) }, [output]);
    return answer?.[output] as Tensor;
  };
  const app = fastify({ bodyLimit: BODY_BYTES_MAX });
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.post<{ Params: { model: string }; Body: InferBody }>('/v2/models/:model/infer', async (request) => {
    const { model } = request.params;
    const [{ shape, data }] = request.body.inputs;
    const answer = await run(model, Float32Array.from(data), shape);
    const output = { name: models[model]?.output, datatype: 'FP32', shape: answer.dims };
    return { model_name: model, outputs: [{ ...output, data: Array.from(answer.data as Float32Array) }] };
  });
  app.post<{ Params: { model: string }; Body: Buffer }>('/octets/:model', async (request, reply) => {
    const { body } = request;
    const isAligned = body.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0;
    const bytes = isAligned ? body : Buffer.from(new Uint8Array(body).buffer);
    const data = new Float32Array(
      bytes.buffer,
      bytes.byteOffset,
      bytes.length / Float32Array.BYTES_PER_ELEMENT,
    );
    const row = models[request.params.model]?.row ?? [];
    const rows = data.length / row.reduce((a, b) => a * b, 1);
    const answer = (await run(request.params.model, data, [rows, ...row])).data as Float32Array;
    void reply.type('application/octet-stream');
    return Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  });
  await app.listen({ port: Number(PORT), host: '127.0.0.1' });
}

if (Number(WORKERS) > 1 && cluster.isPrimary) {
  for (let worker = 0; worker < Number(WORKERS); worker += 1) cluster.fork();
} else await serve();
