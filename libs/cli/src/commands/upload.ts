import { resolve } from 'node:path';
import type { Stage } from '@millrace/contracts';
import type { UploadFields } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { openSources, progressOf } from '../upload-sources.ts';

const STAGES: readonly string[] = ['development', 'staging', 'production', 'archived'];

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
    const sources = await openSources(paths);
    try {
      const uploaded = await context.client.uploads.send(
        fields,
        sources.all,
        progressOf(context, sources.all),
      );
      show(context, uploaded, () => `${uploaded.modelId} ${uploaded.version} is registered.`);
      return exitCodes.ok;
    } finally {
      if (context.isTerminal) context.redraw('');
      await sources.close();
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
