import type { RolloutSpec } from '@millrace/contracts';
import { AppError, ROLLOUT_BUCKETS } from '@millrace/contracts';
import type { TensorSpec } from '@millrace/onnx';

/** Headers that carry secrets are no ground for a rollout: their values would be stored in it. */
const SECRET_HEADERS: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie']);
const WEIGHT_TOLERANCE = 1e-6;

export function invalidRollout(field: string, message: string): AppError {
  return new AppError('invalid_rollout', `${field} ${message}`, { details: { field } });
}

/** Every place of a spec that names a version. */
export function versionRefs(spec: RolloutSpec): { field: string; version: string }[] {
  const { weights = [], rules = [], shadow, canary } = spec;
  return [
    ...weights.map(({ version }, i) => ({ field: `weights.${i}.version`, version })),
    ...rules.map(({ version }, i) => ({ field: `rules.${i}.version`, version })),
    ...(shadow === undefined ? [] : [{ field: 'shadow.version', version: shadow.version }]),
    ...(canary === undefined
      ? []
      : [
          { field: 'canary.version', version: canary.version },
          { field: 'canary.baseline', version: canary.baseline },
        ]),
  ];
}

/** The same spec with each version replaced by what `labelOf` says, and header names in lower case. */
export function withLabels(spec: RolloutSpec, labelOf: (version: string) => string): RolloutSpec {
  const { weights, sticky, rules, shadow, canary, cache } = spec;
  const named = <T extends { version: string }>(part: T): T => ({ ...part, version: labelOf(part.version) });
  const lower = <T extends { header?: string }>(part: T): T =>
    part.header === undefined ? part : { ...part, header: part.header.toLowerCase() };
  return {
    ...(weights !== undefined && { weights: weights.map(named) }),
    ...(sticky !== undefined && { sticky: lower(sticky) }),
    ...(rules !== undefined && { rules: rules.map((rule) => lower(named(rule))) }),
    ...(shadow !== undefined && { shadow: named(shadow) }),
    ...(canary !== undefined && { canary: { ...named(canary), baseline: labelOf(canary.baseline) } }),
    ...(cache !== undefined && { cache }),
  };
}

function checkWeights({ weights, sticky, canary }: RolloutSpec): void {
  if (weights === undefined) {
    if (sticky !== undefined) throw invalidRollout('sticky', 'needs weights to divide callers by; add them.');
    if (canary !== undefined) throw invalidRollout('canary', 'needs weights for both versions; add them.');
    return;
  }
  const sum = weights.reduce((total, { weight }) => total + weight, 0);
  if (Math.abs(sum - 100) > WEIGHT_TOLERANCE)
    throw invalidRollout('weights', `add up to ${Number(sum.toFixed(4))}; they must add up to 100.`);
  const steps = ROLLOUT_BUCKETS / 100;
  const odd = weights.findIndex(
    ({ weight }) => Math.abs(weight * steps - Math.round(weight * steps)) > WEIGHT_TOLERANCE,
  );
  if (odd >= 0)
    throw invalidRollout(`weights.${odd}.weight`, 'has more than two decimals; round it to 0.01 percent.');
  const seen = new Set<string>();
  for (const [i, { version }] of weights.entries()) {
    if (seen.has(version)) throw invalidRollout(`weights.${i}.version`, `is ${version} again; name it once.`);
    seen.add(version);
  }
}

function checkHeaders({ sticky, rules = [] }: RolloutSpec): void {
  if (sticky !== undefined && (sticky.by === 'header') !== (sticky.header !== undefined))
    throw invalidRollout('sticky.header', 'is needed when sticky.by is header, and only then.');
  for (const [i, { equals, prefix }] of rules.entries())
    if ((equals === undefined) === (prefix === undefined))
      throw invalidRollout(`rules.${i}`, 'needs either equals or prefix.');
  const named = [
    ...rules.map(({ header }, i) => ({ field: `rules.${i}.header`, header })),
    ...(sticky?.header === undefined ? [] : [{ field: 'sticky.header', header: sticky.header }]),
  ];
  for (const { field, header } of named)
    if (SECRET_HEADERS.has(header))
      throw invalidRollout(field, `is ${header}, which carries secrets; use another header.`);
}

function checkCanary({ weights = [], canary }: RolloutSpec): void {
  if (canary === undefined) return;
  const { version, baseline, errorRateIncreaseMax, latency } = canary;
  if (version === baseline)
    throw invalidRollout('canary.baseline', 'is the canary itself; name the version to compare it with.');
  for (const [field, label] of [
    ['canary.version', version],
    ['canary.baseline', baseline],
  ] as const)
    if (!weights.some((part) => part.version === label))
      throw invalidRollout(field, `${label} has no weight; add it to weights (0 is allowed).`);
  if (errorRateIncreaseMax === undefined && latency === undefined)
    throw invalidRollout('canary', 'has nothing to watch; give errorRateIncreaseMax, latency or both.');
}

/** Checks what no schema can say of a spec with labels. @throws AppError `invalid_rollout` */
export function checkRollout(spec: RolloutSpec): void {
  if (Object.keys(spec).length === 0)
    throw invalidRollout('body', 'is empty; give weights, rules, shadow or cache, or delete the rollout.');
  checkWeights(spec);
  checkHeaders(spec);
  checkCanary(spec);
}

const showInputs = (inputs: readonly TensorSpec[]): string =>
  inputs
    .map(
      ({ name, dtype, shape }) => `${name} ${dtype} [${shape?.map((size) => size ?? 'N').join(', ') ?? '?'}]`,
    )
    .join('; ');

function isAlike(a: TensorSpec, b: TensorSpec | undefined): boolean {
  if (b === undefined || a.dtype !== b.dtype) return false;
  if (a.shape === null || b.shape === null) return true;
  const other = b.shape;
  return (
    a.shape.length === other.length &&
    a.shape.every((size, axis) => size === null || other[axis] === null || size === other[axis])
  );
}

/**
 * Callers do not know which version answers them, so all that may answer take the same inputs. A shadow need not.
 * @throws AppError `invalid_rollout`
 */
export function checkInputs(
  spec: RolloutSpec,
  inputsOf: (version: string) => readonly TensorSpec[] | undefined,
): void {
  const refs = versionRefs(spec).filter(({ field }) => !field.startsWith('shadow'));
  const [first] = refs;
  const expected = first === undefined ? undefined : inputsOf(first.version);
  if (first === undefined || expected === undefined) return;
  for (const { field, version } of refs) {
    const inputs = inputsOf(version) ?? [];
    const isSame =
      inputs.length === expected.length &&
      inputs.every((input) =>
        isAlike(
          input,
          expected.find(({ name }) => name === input.name),
        ),
      );
    if (isSame) continue;
    throw invalidRollout(
      field,
      `is ${version}, which takes ${showInputs(inputs)}; ${first.version} takes ${showInputs(expected)}.`,
    );
  }
}

/** The spec after a rollback: the canary's weight and its rules go to the baseline. */
export function rolledBack(spec: RolloutSpec): RolloutSpec {
  const { canary, weights = [], rules } = spec;
  if (canary === undefined) return spec;
  const lost = weights.find(({ version }) => version === canary.version)?.weight ?? 0;
  const moved = weights.map(({ version, weight }) => {
    if (version === canary.version) return { version, weight: 0 };
    if (version !== canary.baseline) return { version, weight };
    return { version, weight: Math.round((weight + lost) * 100) / 100 };
  });
  const kept = rules?.map((rule) =>
    rule.version === canary.version ? { ...rule, version: canary.baseline } : rule,
  );
  return { ...spec, weights: moved, ...(kept !== undefined && { rules: kept }) };
}
