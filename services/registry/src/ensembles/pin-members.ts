import { AppError } from '@millrace/contracts';
import type { EnsembleSpec, PinnedEnsemble, Signature } from '@millrace/ensemble';
import { atStep, ENSEMBLE_PATH, MODEL_KIND, planEnsemble } from '@millrace/ensemble';
import type { FoundVersion } from '../versions/version.service.ts';
import type { VersionRow } from '../versions/version.table.ts';
import type { WarmUp } from '../versions/warm-up.ts';
import { hasOpenShapes } from '../versions/warm-up.ts';

/** Where members come from. */
export type MemberSource = {
  /** A version by model and label, ordinal or @alias. */
  find(model: string, version: string | undefined): Promise<FoundVersion>;
  /** Loads a version, which tells the shapes that its file leaves open. */
  readonly warmUp: WarmUp;
};

/** An ensemble whose members are fixed, and what it takes and gives. */
export type PinnedPlan = { readonly pinned: PinnedEnsemble; readonly signature: Signature };

type AskedStep = EnsembleSpec['steps'][number];

function tensorsOf(specs: VersionRow['inputs']): Signature['inputs'] {
  return specs.map(({ name, dtype, shape }) => {
    if (shape === null)
      throw new AppError('invalid_ensemble', `its model does not say what shape "${name}" has.`);
    return { name, dtype, shape };
  });
}

/** The version that a step runs. Throws when there is none or it cannot be part of an ensemble. */
async function memberOf(step: AskedStep, { find, warmUp }: MemberSource): Promise<FoundVersion> {
  if (step.model === undefined)
    throw new AppError('invalid_ensemble', 'it runs a model but does not say which; add "model".');
  const found = await find(step.model, step.version);
  const { label, stage, servingFile } = found.version;
  if (servingFile === ENSEMBLE_PATH) {
    const message = `${label} of ${step.model} is an ensemble itself; name its steps here instead.`;
    throw new AppError('invalid_ensemble', message);
  }
  if (stage === 'archived') {
    const message = `${label} of ${step.model} is archived; move it to another stage to serve it.`;
    throw new AppError('stage_not_servable', message);
  }
  if (!hasOpenShapes(found.version)) return found;
  await warmUp(found.version.id);
  return find(step.model, label);
}

/**
 * Fixes each member to a version and its package digest and checks the whole by what the members take and give.
 * @throws AppError `invalid_ensemble`, `model_not_found`, `version_not_found`, `stage_not_servable`, and what loading a
 * member throws whose file leaves shapes open, with the step named
 */
export async function pinMembers(spec: EnsembleSpec, source: MemberSource): Promise<PinnedPlan> {
  const signatures = new Map<number, Signature>();
  const steps: PinnedEnsemble['steps'] = [];
  for (const [index, asked] of spec.steps.entries()) {
    const { model, version, ...step } = asked;
    try {
      if (step.kind !== MODEL_KIND) {
        if (model !== undefined || version !== undefined)
          throw new AppError('invalid_ensemble', 'only a step of kind "model" names a model and version.');
        steps.push(step);
        continue;
      }
      const found = await memberOf(asked, source);
      const member = {
        model: found.model.name,
        version: found.version.label,
        modelVersionId: found.version.id,
        packageDigest: found.version.packageDigest,
      };
      signatures.set(index, {
        inputs: tensorsOf(found.version.inputs),
        outputs: tensorsOf(found.version.outputs),
      });
      steps.push({ ...step, member });
    } catch (error) {
      throw atStep(asked.id, error);
    }
  }
  const pinned = { inputs: spec.inputs, outputs: spec.outputs, steps };
  const { inputs, outputs } = planEnsemble(pinned, (_, index) => signatures.get(index) as Signature);
  return { pinned, signature: { inputs, outputs } };
}
