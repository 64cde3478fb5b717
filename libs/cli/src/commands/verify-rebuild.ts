import type { PackageStatements } from '@millrace/integrity';
import { createManifest, packageDigest, rootDigest, verifyPackageStatements } from '@millrace/integrity';
import type { BundleParts } from '@millrace/sdk';
import { askedVersion, identityOptions, verifyPartsIdentity } from '../bundles/identity.ts';
import { statementsOf } from '../bundles/statements.ts';
import type { Trusted } from '../bundles/trusted.ts';
import { TRUST_HELP, trustedBy, trustOptions } from '../bundles/trusted.ts';
import type { Command, Context } from '../command.ts';
import { argument, integerOption, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { fields, short } from '../format.ts';
import { defaultVersion } from '../model-version.ts';
import { poolOption } from '../pool-option.ts';
import type { BuildRecord } from '../rebuilds/build-record.ts';
import { readBuildRecord, reportedConditions } from '../rebuilds/build-record.ts';
import { downloadModel } from '../rebuilds/download-model.ts';
import type { Rebuilt } from '../rebuilds/rebuild-run.ts';
import { isOnnx, rebuild } from '../rebuilds/rebuild-run.ts';
import type { Verdict } from '../rebuilds/verdict.ts';
import { equalParts, judge, limitsOf } from '../rebuilds/verdict.ts';
import type { Incomparable, WeightsDifference } from '../rebuilds/weights.ts';
import { compareWeights } from '../rebuilds/weights.ts';

const TIMEOUT_DEFAULT_S = 3_600;
/** Weights this near, relative to the largest of their tensor, are called close. */
const TOLERANCE_DEFAULT = 1e-3;

export const verifyRebuildCommand: Command = {
  name: 'verify-rebuild',
  summary: 'train a model version once more from its signed provenance and compare',
  help: `millrace verify-rebuild MODEL[@VERSION] [--tolerance X] [--timeout SECONDS] [--pool POOL]

Reads the signed statements of the version, submits the same training (recipe, parameters, seed, dataset by digest) and
the same conversion, registers nothing, and compares weights, frozen graph and ONNX by their digests:
  bit-identical  all three have the digests that were signed, on the same class of processor, with as many threads, the
                 same packages and the same code of the recipe
  close          the bits are equal but one of those is another or was not recorded, or every weight is within the
                 tolerance
  different      anything else
Ctrl-C or the end of the time cancels the job.
  --tolerance X      largest difference of a weight relative to the largest of its tensor; ${TOLERANCE_DEFAULT} unless given
  --timeout SECONDS  for training and conversion together; ${TIMEOUT_DEFAULT_S} unless given
  --pool             workers to train on; those of the recipe unless given
  --allow-missing-identity  take a version of a release that did not sign which version it is
${TRUST_HELP}
Exits 0 for bit-identical, 2 for close, 1 for different or when it could not be built again, 69 when the time is over.`,
  options: {
    ...trustOptions,
    tolerance: { type: 'string' },
    timeout: { type: 'string' },
    pool: { type: 'string' },
    'allow-missing-identity': identityOptions['allow-missing-identity'],
  },
  async run(context) {
    const { name, version } = modelArgument(argument(context, 0, 'MODEL[@VERSION]'));
    const tolerance = toleranceOption(context);
    const timeoutMs = (integerOption(context, 'timeout', 1) ?? TIMEOUT_DEFAULT_S) * 1_000;
    const pool = poolOption(context);
    const label = version ?? (await defaultVersion(context, name));
    const parts = await context.client.models.bundleParts(name, label);
    const trusted = trustedBy(context);
    verifyPartsIdentity(parts, trusted, {
      expected: askedVersion(name, version),
      isIdentityOptional: context.options['allow-missing-identity'] === true,
    });
    const record = readBuildRecord(verifiedStatements(trusted, parts));
    const rebuilt = await rebuild(context, { record, pool, timeoutMs }).catch((error: unknown) => {
      if (context.signal.aborted) return error as Error;
      throw error;
    });
    if (rebuilt instanceof Error) {
      context.note(rebuilt.message);
      return exitCodes.interrupted;
    }
    const equal = equalParts(record.digests, rebuilt.digests);
    const difference =
      equal.length === 3 ? undefined : await measure(context, { name, label, record, rebuilt });
    const conditions = reportedConditions(rebuilt.trainingMeta, rebuilt.conversionMeta);
    const limits = limitsOf(record.conditions, conditions, record.params);
    const verdict = judge({ equal, limits, difference, tolerance });
    tell(context, { parts, record, rebuilt, verdict, difference, tolerance });
    const { ok, close, failed } = exitCodes;
    return { 'bit-identical': ok, close, different: failed }[verdict.verdict];
  },
};

function toleranceOption(context: Context): number {
  const text = textOption(context, 'tolerance');
  const value = text === undefined ? TOLERANCE_DEFAULT : Number(text);
  if (text !== '' && value >= 0 && Number.isFinite(value)) return value;
  throw new UsageError(`--tolerance takes a number of at least 0, not '${String(text)}'.`);
}

/** The statements of the version, signed by whom the user trusts and about these very digests. */
function verifiedStatements(trusted: Trusted, parts: BundleParts): PackageStatements {
  const manifest = createManifest(parts.manifest.files);
  return verifyPackageStatements(statementsOf(parts), trusted.pem, {
    packageDigest: packageDigest(manifest),
    rootDigest: rootDigest(manifest),
    files: manifest.files,
    at: trusted.at,
  });
}

async function measure(
  { client, signal }: Context,
  of: { name: string; label: string; record: BuildRecord; rebuilt: Rebuilt },
): Promise<WeightsDifference | Incomparable> {
  const { record, rebuilt } = of;
  // asked for again: the first URLs may have run out during the training
  const { files } = await client.models.bundleParts(of.name, of.label);
  const original = await downloadModel(
    files.find(({ sha256 }) => sha256 === record.digests.onnx),
    signal,
  );
  const made = (await client.conversions.files(rebuilt.conversionJobId)).find(isOnnx);
  return compareWeights(original, await downloadModel(made, signal));
}

function tell(
  context: Context,
  of: {
    parts: BundleParts;
    record: BuildRecord;
    rebuilt: Rebuilt;
    verdict: Verdict;
    difference: WeightsDifference | Incomparable | undefined;
    tolerance: number;
  },
): void {
  const { parts, record, rebuilt, verdict, difference, tolerance } = of;
  const { trainingJobId, conversionJobId } = rebuilt;
  const about = { model: parts.model, version: parts.version, trainingJobId, conversionJobId };
  const json = {
    ...verdict,
    ...about,
    digests: { signed: record.digests, rebuilt: rebuilt.digests },
    weights: difference ?? null,
    tolerance,
  };
  show(context, json, () =>
    [
      verdict.verdict,
      '',
      fields([
        ['model', `${parts.model} ${parts.version}`],
        ['training', trainingJobId],
        ['conversion', conversionJobId],
        ['weights', shown('weights')],
        ['graph', shown('graph')],
        ['ONNX', shown('onnx')],
        ['difference', difference === undefined ? null : differenceText(difference)],
      ]),
      ...verdict.limits.map((limit) => `No more than close can be claimed: ${limit}.`),
    ].join('\n'),
  );

  function shown(part: keyof Rebuilt['digests']): string {
    const [signed, now] = [record.digests[part], rebuilt.digests[part]];
    return signed === now ? `${signed} (as signed)` : `${now}, signed was ${signed}`;
  }
}

function differenceText(difference: WeightsDifference | Incomparable): string {
  if ('why' in difference) return `cannot be measured: ${difference.why}`;
  const { maxAbs, maxRel, worst, tensors } = difference;
  const where = worst === null ? '' : ` in ${worst}`;
  return `${tensors} tensors, at most ${short(maxAbs)}; ${short(maxRel)} of the largest of its tensor${where}`;
}
