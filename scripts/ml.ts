import { spawn } from 'node:child_process';
import { join } from 'node:path';
import {
  type EnvironmentName,
  ensureEnvironment,
  environmentsRoot,
  pythonPath,
  REPOSITORY_ROOT,
} from '@millrace/embedded';
import { runScript } from './lib/command-line.ts';

const USAGE = `npm run ml:COMMAND [-- OPTIONS]

The recipe without the platform; models are written to ml/train/models/.
  ml:env:tf, ml:env:convert   make the training and the conversion environment
  ml:train                    train (--epochs, --samples, --seed, --export-onnx)
  ml:train:quick              5 epochs, 500 samples
  ml:train:full               10 epochs, 1000 samples
  ml:convert                  SavedModel to ONNX (--opset, --tag, --signature)
  ml:validate                 check the ONNX file: format, parity, size, latency
  ml:export                   SafeTensors with an architecture to ONNX (--out, --quantize)
  ml:notebook                 Jupyter with a notebook that talks to the platform
  ml:status                   what has been trained and converted
Each takes -- --help.`;

const EXIT_USAGE = 64;

type Command = {
  environment: EnvironmentName;
  worker: 'training-worker' | 'conversion-worker';
  args: string[];
};

const TRAIN = ['-m', 'millrace_training.cli', 'train'];

const COMMANDS: Readonly<Record<string, Command>> = {
  train: { environment: 'training', worker: 'training-worker', args: TRAIN },
  'train:quick': {
    environment: 'training',
    worker: 'training-worker',
    args: [...TRAIN, '--epochs', '5', '--samples', '500'],
  },
  'train:full': {
    environment: 'training',
    worker: 'training-worker',
    args: [...TRAIN, '--epochs', '10', '--samples', '1000'],
  },
  convert: {
    environment: 'conversion',
    worker: 'conversion-worker',
    args: ['-m', 'millrace_conversion.cli', 'convert'],
  },
  validate: {
    environment: 'conversion',
    worker: 'conversion-worker',
    args: ['-m', 'millrace_conversion.cli', 'validate'],
  },
  export: {
    environment: 'conversion',
    worker: 'conversion-worker',
    args: ['-m', 'millrace_conversion.export_cli'],
  },
  status: {
    environment: 'training',
    worker: 'training-worker',
    args: ['-m', 'millrace_training.cli', 'status'],
  },
  notebook: {
    environment: 'notebook',
    worker: 'training-worker',
    args: ['-m', 'jupyter', 'notebook', '--notebook-dir', join(REPOSITORY_ROOT, 'ml', 'notebooks')],
  },
};

/** Runs the command in its environment, from the repository root, and ends with its status. */
function run(python: string, command: Command, args: readonly string[]): Promise<number> {
  const child = spawn(python, [...command.args, ...args], {
    cwd: REPOSITORY_ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...pythonPath(command.worker) },
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

await runScript(async () => {
  const [name = '--help', ...args] = process.argv.slice(2);
  const command = COMMANDS[name];
  if (!command) {
    process.stdout.write(`${USAGE}\n`);
    return name === '--help' ? 0 : EXIT_USAGE;
  }
  const environment = await ensureEnvironment(
    command.environment,
    environmentsRoot(process.env),
    process.env,
  );
  return run(environment.python, command, args);
});
