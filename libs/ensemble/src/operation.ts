import type { Static, TSchema } from 'typebox';
import { invalid } from './fault.ts';
import type { ElementType, Value, ValueSpec } from './value.ts';
import { showShape } from './value.ts';

/** A built-in step that was checked: the tensors that it gives, and how it makes them. */
export type Prepared = {
  readonly outputs: readonly ValueSpec[];
  /** Whether a row of an output is made of other rows too. */
  readonly mixesRows?: boolean;
  /** Inputs and outputs in the order of the operation; throws `inference_failed` for values it cannot take. */
  run(inputs: readonly Value[]): Value[];
};

/** A kind of built-in step. */
export type Operation<Parameters extends TSchema = TSchema> = {
  readonly parameters: Parameters;
  /** Names of its inputs; `many` takes x0, x1, and so on. */
  readonly inputs: readonly string[] | 'many';
  readonly outputs: readonly string[];
  /** Checks parameters against the tensors that come. Throws `invalid_ensemble`. */
  prepare(parameters: Static<Parameters>, inputs: readonly ValueSpec[]): Prepared;
};

/** Keeps the type of the parameters together with the code that reads them. */
export function defineOperation<Parameters extends TSchema>(operation: Operation<Parameters>): Operation {
  return operation as unknown as Operation;
}

export const FLOATS: readonly ElementType[] = ['float32', 'float64'];
export const INTEGERS: readonly ElementType[] = [
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
];

/** The only input of an operation. Throws `invalid_ensemble` unless its type is one of `types`. */
export function onlyInput(
  inputs: readonly ValueSpec[],
  types: readonly ElementType[] | undefined = undefined,
): ValueSpec {
  const [input] = inputs as [ValueSpec];
  if (types === undefined || types.includes(input.dtype)) return input;
  throw invalid(`it takes ${types.join(', ')}, not ${input.dtype}; put a cast before it.`);
}

/** An axis counted from 0; negative ones count from the end. Throws `invalid_ensemble`. */
export function axisOf(axis: number, shape: readonly unknown[]): number {
  const at = axis < 0 ? axis + shape.length : axis;
  if (at >= 0 && at < shape.length) return at;
  throw invalid(`axis ${axis} is outside of the ${shape.length} axes of its input.`);
}

/** The size of an axis that has to be known. Throws `invalid_ensemble` for a free one. */
export function fixedSize(shape: readonly (number | null)[], axis: number): number {
  const size = shape[axis];
  if (size !== null && size !== undefined) return size;
  throw invalid(`axis ${axis} of its input ${showShape(shape)} has no fixed size, which it needs.`);
}
