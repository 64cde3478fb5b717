import { existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Stage } from '@millrace/contracts';
import type { UploadFields, UploadSource } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytes } from '../format.ts';

const STAGES: readonly string[] = ['development', 'staging', 'production', 'archived'];
/** How often progress is drawn (ms). */
const REDRAW_MS = 200;

export const uploadCommand: Command = {
  name: 'upload',
  summary: 'upload files of a model as a version',
  help: `millrace upload MODEL@VERSION FILE… [--framework onnx|tensorflow] [--stage STAGE]

Uploads an ONNX file, a packed SavedModel or TF.js model, a .keras file, or the files of a TF.js model or of weights
(model.safetensors, architecture.json) one by one. The
files go in parts straight to the object store, each with its SHA-256, so their size does not matter; the platform reads
them back, checks them and registers the version. Waits until it is registered, also where it is converted first.
  --framework NAME  what serves it: onnx (default) or tensorflow
  --stage STAGE     ${STAGES.join(', ')}; default: development`,
  options: { framework: { type: 'string' }, stage: { type: 'string' } },
  async run(context) {
    const fields = readFields(context);
    const paths = context.positionals.slice(1).map((path) => resolve(context.cwd, path));
    if (paths.length === 0)
      throw new UsageError('The file is missing: an .onnx, .zip, .tar.gz or .keras file.');
    const missing = paths.find((path) => !existsSync(path));
    if (missing !== undefined) throw new UsageError(`There is no file '${missing}'.`);
    const handles: FileHandle[] = [];
    try {
      const sources: UploadSource[] = [];
      for (const path of paths) {
        const handle = await open(path, 'r');
        handles.push(handle);
        sources.push(await sourceOf(basename(path), handle));
      }
      const uploaded = await context.client.uploads.send(fields, sources, progressOf(context, sources));
      show(context, uploaded, () => `${uploaded.modelId} ${uploaded.version} is registered.`);
      return exitCodes.ok;
    } finally {
      if (context.isTerminal) context.redraw('');
      for (const handle of handles) await handle.close();
    }
  },
};

function readFields(context: Context): UploadFields {
  const { name, version } = modelArgument(argument(context, 0, 'MODEL@VERSION'));
  if (version === undefined) throw new UsageError(`Say which version it becomes: ${name}@VERSION.`);
  const framework = textOption(context, 'framework') ?? 'onnx';
  if (framework !== 'onnx' && framework !== 'tensorflow')
    throw new UsageError(`--framework takes onnx or tensorflow, not '${framework}'.`);
  const stage = textOption(context, 'stage');
  if (stage !== undefined && !STAGES.includes(stage))
    throw new UsageError(`'${stage}' is not a stage; those are ${STAGES.join(', ')}.`);
  return { modelId: name, version, framework, ...(stage === undefined ? {} : { stage: stage as Stage }) };
}

async function sourceOf(name: string, handle: FileHandle): Promise<UploadSource> {
  const { size } = await handle.stat();
  if (size === 0) throw new UsageError(`'${name}' is empty.`);
  return {
    name,
    sizeBytes: size,
    async read(start, end) {
      const piece = Buffer.allocUnsafe(end - start);
      for (let done = 0; done < piece.length; ) {
        const { bytesRead } = await handle.read(piece, done, piece.length - done, start + done);
        if (bytesRead === 0) throw new UsageError(`'${name}' became shorter while it was uploaded.`);
        done += bytesRead;
      }
      return piece;
    },
  };
}

function progressOf(context: Context, sources: readonly UploadSource[]) {
  const total = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  let drawnAt = 0;
  return {
    signal: context.signal,
    onPhase(phase: string) {
      if (context.isTerminal) context.redraw(`${phase} ${bytes(total)}`);
    },
    onBytes(sizeBytes: number) {
      done += sizeBytes;
      if (!context.isTerminal || Date.now() - drawnAt < REDRAW_MS) return;
      drawnAt = Date.now();
      context.redraw(`sent ${bytes(done)} of ${bytes(total)}`);
    },
  };
}
