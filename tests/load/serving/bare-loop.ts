// What onnxruntime-node gives without a server: node tests/load/serving/bare-loop.ts FOLDER MODEL ROWS THREADS SECONDS
// Prints rows a second.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// before the library is loaded, which otherwise reports its use to its makers
process.env.ORT_DISABLE_TELEMETRY = '1';
const { InferenceSession, Tensor } = await import('onnxruntime-node');

const WARM_UP_MS = 500;
const [folder = '', name = 'mlp', rowsText = '32', threads = '1', seconds = '2'] = process.argv.slice(2);
const { models } = JSON.parse(readFileSync(join(folder, 'models.json'), 'utf8')) as {
  models: Record<string, { input: string; output: string; row: number[] }>;
};
const { input = '', output = '', row = [] } = models[name] ?? {};
const rows = Number(rowsText);
const session = await InferenceSession.create(join(folder, `${name}.onnx`), {
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
});
const values = new Float32Array(rows * row.reduce((a, b) => a * b, 1)).map((_, i) => (i % 97) / 97);

async function runFor(ms: number): Promise<number> {
  const start = performance.now();
  let runs = 0;
  while (performance.now() - start < ms) {
    await session.run({ [input]: new Tensor('float32', values, [rows, ...row]) }, [output]);
    runs += 1;
  }
  return (runs * rows * 1000) / (performance.now() - start);
}

await runFor(WARM_UP_MS);
console.log((await runFor(Number(seconds) * 1000)).toFixed(1));
