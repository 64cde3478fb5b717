import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ImportProgress, ImportReport } from '@millrace/sdk';
import { IDENTITY_HELP, identityBy, identityOptions } from '../bundles/identity.ts';
import { importBundle } from '../bundles/import-bundle.ts';
import { TRUST_HELP, trustedBy, trustOptions } from '../bundles/trusted.ts';
import type { Command, Context } from '../command.ts';
import { argument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytes, fields, plain } from '../format.ts';

/** How often progress is drawn (ms). */
const REDRAW_MS = 200;

export const importCommand: Command = {
  name: 'import',
  summary: 'copy everything of an MLflow server, or take an exported bundle in',
  help: `millrace import BUNDLE [--as MODEL[@VERSION]]
millrace import mlflow --uri ADDRESS [--experiment NAME]… [--dry-run] [--recheck]

A bundle (a folder or .tar of millrace export) is verified here and by the platform against the keys that you trust,
and registered with what the other registry had signed: its signature, statements and history lie in the package under
origin/. The same bundle again changes nothing.
  --as MODEL[@VERSION]  another name for it here
${IDENTITY_HELP}
${TRUST_HELP}

Of a running MLflow server, 2 or 3, it copies experiments, runs (parameters, tags, every entry of every metric, datasets,
artifacts), logged models, registered models, their versions and aliases, through its REST API. Each thing keeps its ids
as tags: imported.uri, imported.run_id, imported.version and so on. May be run again, also after it broke off or while
the server is still in use: what is there is not copied twice, what changed is brought up to date. Run one at a time.
Versions get the next number here, which is another one where some were deleted there; the output says so. Traces,
prompts and users are not copied. A file that the server cannot send (MLflow 2: names beyond Latin-1) is named at the
end, no version is made without it, and the next import asks for it again.
  --uri ADDRESS      what clients have as MLFLOW_TRACKING_URI, http or https
  --experiment NAME  only this one (may be given several times), and versions that were made of it
  --dry-run          only say what would be copied
  --recheck          look also at the files of runs that have ended and did not change since they were copied

The server's MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, are read from the
environment. Exit code 1 when something could not be copied; the rest was.`,
  options: {
    uri: { type: 'string' },
    experiment: { type: 'string', multiple: true },
    'dry-run': { type: 'boolean' },
    recheck: { type: 'boolean' },
    as: { type: 'string' },
    ...trustOptions,
    ...identityOptions,
  },
  async run(context) {
    const { env, options } = context;
    const from = argument(context, 0, 'What to import (a bundle, or mlflow)');
    if (from !== 'mlflow') return await takeBundle(context, from);
    const uri = textOption(context, 'uri');
    if (uri === undefined) throw new UsageError('Say where the MLflow server is: --uri http://HOST:PORT.');
    try {
      const report = await context.client.imports.mlflow({
        uri,
        username: env.MLFLOW_TRACKING_USERNAME,
        password: env.MLFLOW_TRACKING_PASSWORD,
        token: env.MLFLOW_TRACKING_TOKEN,
        ...(Array.isArray(options.experiment) ? { experiments: options.experiment } : {}),
        isDryRun: options['dry-run'] === true,
        isRecheck: options.recheck === true,
        onProgress: progressOf(context),
        signal: context.signal,
      });
      if (context.isTerminal) context.redraw('');
      show(context, report, () => shown(report));
      return report.failures === 0 ? exitCodes.ok : exitCodes.failed;
    } catch (error) {
      if (context.isTerminal) context.redraw('');
      throw error;
    }
  },
};

async function takeBundle(context: Context, from: string): Promise<number> {
  const path = resolve(context.cwd, from);
  if (!existsSync(path))
    throw new UsageError(`There is no bundle '${from}'; to copy from MLflow say mlflow.`);
  const { bundle, imported } = await importBundle(context, path, {
    trusted: trustedBy(context),
    identity: identityBy(context),
  });
  show(context, { path, bundle, ...imported }, () =>
    fields([
      ['imported', `${imported.model} ${imported.version}`],
      ['was', `${bundle.model} ${bundle.version}`],
      ['files', `${bundle.files}, ${bytes(bundle.sizeBytes)}, every digest compared`],
      ['signed by', bundle.certificate ?? bundle.keyId],
      ['package digest', `${imported.packageDigest} (${bundle.packageDigest} there)`],
    ]),
  );
  return exitCodes.ok;
}

function progressOf(context: Context): (progress: ImportProgress) => void {
  let drawnAt = 0;
  return ({ doing, done, of }) => {
    if (!context.isTerminal || Date.now() - drawnAt < REDRAW_MS) return;
    drawnAt = Date.now();
    context.redraw(`${doing}  ${done} of ${of}`);
  };
}

function shown(report: ImportReport): string {
  const { experiments, runs, loggedModels, artifacts, models, versions } = report;
  const copied = report.isDryRun ? 'to copy' : 'copied';
  const lines: [string, string][] = [
    [
      'experiments',
      `${experiments.created} ${report.isDryRun ? 'to create' : 'created'}, ${experiments.present} there`,
    ],
    ['runs', `${runs.copied} ${copied}, ${runs.unchanged} unchanged`],
    ['logged models', `${loggedModels.copied} ${copied}, ${loggedModels.present} there`],
    [
      'registered models',
      `${models.created} ${report.isDryRun ? 'to create' : 'created'}, ${models.present} there`,
    ],
    [
      'versions',
      `${versions.copied} ${copied}, ${versions.present} there, ${versions.skipped} not ready or prompts`,
    ],
  ];
  if (!report.isDryRun)
    lines.push(
      ['aliases', `${report.aliases} set`],
      ['metric entries', `${report.metricEntries} sent`],
      ['files', `${artifacts.files} copied (${bytes(artifacts.sizeBytes)}), ${artifacts.present} there`],
    );
  const renumbered = report.renumbered.map(
    ({ model, version, became }) => `${plain(model)}: version ${version} is ${became} here`,
  );
  const failed = report.failed.map(({ what, why }) => `not copied: ${plain(what)}: ${plain(why)}`);
  const more = report.failures - report.failed.length;
  return [
    fields(lines),
    ...renumbered,
    ...failed,
    ...(more > 0 ? [`… and ${more} more that could not be copied`] : []),
  ].join('\n');
}
