import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureEnvironment, environmentsRoot, REPOSITORY_ROOT } from '@millrace/embedded';

const run = promisify(execFile);

/** A model of the benchmark with rows to send and what onnxruntime answered to each. */
export type BenchModel = {
  name: string;
  file: string;
  input: string;
  output: string;
  /** Shape of one row. */
  shape: number[];
  /** float32 values of each row. */
  rows: Float32Array[];
  /** float32 values of each answer. */
  answers: Float32Array[];
};

/** The models, and the Python onnxruntime whose answers count as right. */
export type BenchModels = {
  folder: string;
  onnxruntime: string;
  byName: Map<string, BenchModel>;
  /** Names of those that every server has; the others are for Millrace alone. */
  shared: string[];
};

type Described = { input: string; output: string; row: number[]; width: number };

/** Makes the models in `folder` with the conversion environment; the same bytes every time. */
export async function makeModels(folder: string): Promise<BenchModels> {
  const { python } = await ensureEnvironment('conversion', environmentsRoot(process.env), process.env);
  await run(python, [join(REPOSITORY_ROOT, 'tests', 'load', 'serving', 'make_models.py'), folder]);
  const made = JSON.parse(readFileSync(join(folder, 'models.json'), 'utf8')) as {
    onnxruntime: string;
    models: Record<string, Described>;
    own: Record<string, Described>;
  };
  const byName = new Map<string, BenchModel>();
  for (const [name, { input, output, row, width }] of Object.entries({ ...made.models, ...made.own })) {
    byName.set(name, {
      name,
      file: join(folder, `${name}.onnx`),
      input,
      output,
      shape: row,
      rows: split(
        join(folder, `${name}.rows`),
        row.reduce((a, b) => a * b, 1),
      ),
      answers: split(join(folder, `${name}.answers`), width),
    });
  }
  return { folder, onnxruntime: made.onnxruntime, byName, shared: Object.keys(made.models) };
}

function split(file: string, width: number): Float32Array[] {
  const bytes = readFileSync(file);
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return Array.from({ length: all.length / width }, (_, i) => all.subarray(i * width, (i + 1) * width));
}
