import type { BuiltDigests, Conditions } from './build-record.ts';
import type { Incomparable, WeightsDifference } from './weights.ts';

/** What a rebuild showed. */
export type Verdict = {
  readonly verdict: 'bit-identical' | 'close' | 'different';
  /** Parts whose digests are equal. */
  readonly equal: readonly (keyof BuiltDigests)[];
  /** Why equal bits would prove less than they seem to; empty where they prove the rebuild. */
  readonly limits: readonly string[];
};

const CONDITIONS: readonly (readonly [keyof Conditions, string])[] = [
  ['machineClass', 'the class of the processor'],
  ['threads', 'the number of threads'],
  ['trainingEnvironment', 'the packages of the training'],
  ['conversionEnvironment', 'the packages of the conversion'],
  ['recipeCode', 'the code of the recipe'],
];

/** The parts whose digests are equal. */
export function equalParts(original: BuiltDigests, rebuilt: BuiltDigests): (keyof BuiltDigests)[] {
  return (['weights', 'graph', 'onnx'] as const).filter((part) => original[part] === rebuilt[part]);
}

/** Why a rebuild under these conditions can claim no more than to be close. */
export function limitsOf(
  recorded: Conditions,
  rebuilt: Conditions,
  params: { deterministic?: unknown },
): string[] {
  const limits = CONDITIONS.flatMap(([name, what]) => {
    const [before, now] = [recorded[name], rebuilt[name]];
    if (before === undefined) return [`${what} was not recorded`];
    if (before === now) return [];
    const shown = name === 'machineClass' ? [recorded.cpu, rebuilt.cpu] : [before, now];
    return [`${what} differs: ${shown[0] ?? 'unknown'} then, ${shown[1] ?? 'unknown'} now`];
  });
  return params.deterministic === false ? [...limits, 'the training was not deterministic'] : limits;
}

/**
 * Bit-identical: weights and graphs have the digests that were signed, and nothing that decides about bits was another.
 * Close: the same under other conditions, or weights within `tolerance` of the largest of their tensor. Else different.
 */
export function judge(from: {
  equal: readonly (keyof BuiltDigests)[];
  limits: readonly string[];
  difference: WeightsDifference | Incomparable | undefined;
  tolerance: number;
}): Verdict {
  const { equal, limits, difference, tolerance } = from;
  if (equal.length === 3) return { verdict: limits.length === 0 ? 'bit-identical' : 'close', equal, limits };
  const isClose = difference !== undefined && 'maxRel' in difference && difference.maxRel <= tolerance;
  return { verdict: isClose ? 'close' : 'different', equal, limits };
}
