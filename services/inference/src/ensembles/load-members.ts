import type { ResolvedVersion } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { EnsembleMember, PinnedEnsemble } from '@millrace/ensemble';
import { atStep, ENSEMBLE_PATH, MODEL_KIND } from '@millrace/ensemble';
import type { Member, Members } from './ensemble-runner.ts';

export type MemberSource = {
  /** The version that a name stands for now. Throws what the resolver throws. */
  resolve(model: string, version: string): Promise<ResolvedVersion>;
  /** Verifies, loads and warms it, unless it is in memory already. */
  load(version: ResolvedVersion): Promise<Member>;
};

/** Ids of the versions that an ensemble runs, each once. */
export function memberIdsOf({ steps }: PinnedEnsemble): string[] {
  return [...new Set(steps.flatMap(({ member }) => member?.modelVersionId ?? []))];
}

function assertPinned(pinned: EnsembleMember, found: ResolvedVersion): void {
  if (found.modelVersionId === pinned.modelVersionId && found.packageDigest === pinned.packageDigest) return;
  throw new AppError(
    'digest_mismatch',
    `Version "${pinned.version}" of "${pinned.model}" is not the one that the ensemble was made with; register the ensemble again.`,
    { details: { expected: pinned.packageDigest, actual: found.packageDigest } },
  );
}

/**
 * The members of an ensemble, in memory. Throws `digest_mismatch` for one with other bytes, `invalid_ensemble`, and what
 * resolving and loading throw, with the step named.
 */
export async function loadMembers(description: PinnedEnsemble, source: MemberSource): Promise<Members> {
  const members = new Map<number, Member>();
  for (const [index, { id, kind, member: pinned }] of description.steps.entries()) {
    if (kind !== MODEL_KIND) continue;
    try {
      if (pinned === undefined) throw new AppError('invalid_ensemble', 'it names no version.');
      const version = await source.resolve(pinned.model, pinned.version);
      assertPinned(pinned, version);
      if (version.servingFile === ENSEMBLE_PATH)
        throw new AppError('invalid_ensemble', 'it is an ensemble itself; name its steps here instead.');
      members.set(index, await source.load(version));
    } catch (error) {
      throw atStep(id, error);
    }
  }
  return members;
}
