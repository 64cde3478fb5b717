import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type EnvironmentName,
  ensureEnvironment,
  environmentsRoot,
  pythonPath,
  REPOSITORY_ROOT,
} from '@millrace/embedded';
import { runScript } from './lib/command-line.ts';

const USAGE = `npm run train:veid [-- MODEL…] [-- OPTIONS]

Trains the three models of identity verification without the platform and converts them: ml/MODEL/weights/ then holds the
SavedModel, the frozen graph, ONNX, metrics.json and SHA256SUMS (\`sha256sum -c SHA256SUMS\`).
  MODEL    facial_verification, liveness_detection, ocr_extraction; all three unless named
  --quick  small data and few epochs: shows that everything works, and reaches no figure to quote
Other options go to ml/MODEL/train.py, which takes -- --help.`;

/** Folders under ml/ and what the files of their models start with. */
const MODELS: Readonly<Record<string, string>> = {
  facial_verification: 'facial',
  liveness_detection: 'liveness',
  ocr_extraction: 'ocr',
};

type Worker = 'training-worker' | 'conversion-worker';

/** Runs a command in an environment and gives its exit code. */
function run(python: string, worker: Worker, args: readonly string[]): Promise<number> {
  const child = spawn(python, args, {
    cwd: REPOSITORY_ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...pythonPath(worker) },
  });
  // the signal reaches the child by itself; here it only must not end the parent first
  const wait = () => {};
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, wait);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** Puts the ONNX file of a training beside its other forms and its digest into SHA256SUMS. */
function publishOnnx(weights: string, short: string): void {
  const name = `${short}_model.onnx`;
  copyFileSync(join(weights, 'work', 'out', 'model.onnx'), join(weights, name));
  const sums = join(weights, 'SHA256SUMS');
  const others = existsSync(sums)
    ? readFileSync(sums, 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.endsWith(`  ${name}`))
    : [];
  const digest = createHash('sha256')
    .update(readFileSync(join(weights, name)))
    .digest('hex');
  writeFileSync(sums, `${[...others, `${digest}  ${name}`].join('\n')}\n`);
}

await runScript(async () => {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const named = args.filter((arg) => arg in MODELS);
  const options = args.filter((arg) => !(arg in MODELS));
  const python = async (name: EnvironmentName) =>
    (await ensureEnvironment(name, environmentsRoot(process.env), process.env)).python;
  const [training, conversion] = [await python('training'), await python('conversion')];
  for (const model of named.length > 0 ? named : Object.keys(MODELS)) {
    const start = performance.now();
    process.stdout.write(`\n${model}\n`);
    const trained = await run(training, 'training-worker', [join('ml', model, 'train.py'), ...options]);
    if (trained !== 0) return trained;
    const weights = join(REPOSITORY_ROOT, 'ml', model, 'weights');
    const source = ['--models', join(weights, 'work', 'out')];
    const converted = await run(conversion, 'conversion-worker', [
      '-m',
      'millrace_conversion.cli',
      'convert',
      ...source,
    ]);
    if (converted !== 0) return converted;
    publishOnnx(weights, MODELS[model] ?? model);
    process.stdout.write(`${model}: all forms after ${Math.round((performance.now() - start) / 1_000)} s\n`);
  }
  return 0;
});
