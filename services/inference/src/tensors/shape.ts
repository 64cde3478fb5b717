import { AppError } from '@millrace/contracts';
import type { TensorSpec } from './tensor.ts';
import { showShape } from './tensor.ts';

function mismatch(spec: TensorSpec, given: readonly number[], why: string): AppError {
  return new AppError(
    'invalid_shape',
    `Input "${spec.name}" takes ${showShape(spec.shape)}; the values have shape ${showShape(given)}: ${why}.`,
    { details: { input: spec.name, expected: spec.shape, actual: given } },
  );
}

function fits(spec: TensorSpec, given: readonly number[]): boolean {
  return (
    given.length === spec.shape.length &&
    spec.shape.every((size, axis) => (given[axis] as number) > 0 && (size === null || size === given[axis]))
  );
}

/** The shape of a flat list of `count` values: fixed dimensions as declared, the free one by division. */
function shapeOfFlat(spec: TensorSpec, count: number): number[] {
  const fixed = spec.shape.reduce<number>((product, size) => product * (size ?? 1), 1);
  const free = spec.shape.filter((size) => size === null).length;
  if (count === 0) throw mismatch(spec, [0], 'there are none');
  if (free === 0) {
    if (count !== fixed) throw mismatch(spec, [count], `it takes exactly ${fixed}`);
    return spec.shape as number[];
  }
  if (free > 1) {
    throw mismatch(spec, [count], 'more than one dimension is free, so nest the arrays to show the shape');
  }
  if (fixed === 0 || count % fixed !== 0) throw mismatch(spec, [count], `it takes a multiple of ${fixed}`);
  return spec.shape.map((size) => size ?? count / fixed);
}

/**
 * The shape that given values have for an input. Nested arrays must match it, with or without the row dimension;
 * a flat list is divided into rows. Throws `invalid_shape` with both shapes.
 */
export function resolveShape(spec: TensorSpec, given: readonly number[], count: number): number[] {
  if (fits(spec, given)) return [...given];
  if (given.length <= 1) return shapeOfFlat(spec, count);
  const oneRow = [1, ...given];
  if (fits(spec, oneRow)) return oneRow;
  throw mismatch(spec, given, 'they differ');
}
