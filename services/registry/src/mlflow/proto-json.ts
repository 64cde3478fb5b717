import { AppError } from '@millrace/contracts';
import Type from 'typebox';

/** A 64-bit integer as proto JSON writes it: a number or its digits as text. */
export const Int64 = Type.Union([Type.Number(), Type.String({ pattern: '^-?[0-9]{1,19}$' })]);

/** A double as proto JSON writes it: a number, or as text where JSON has no number for it. */
export const Double = Type.Union([
  Type.Number(),
  Type.String({ pattern: '^(NaN|-?Infinity|[+-]?[0-9]+(\\.[0-9]*)?([eE][+-]?[0-9]+)?)$' }),
]);

/** A 64-bit integer that JavaScript holds exactly; throws `invalid_request` for any other number. */
export function int64(value: number | string, name: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new AppError(
    'invalid_request',
    `Invalid value ${JSON.stringify(value)} for parameter '${name}' supplied: it must be an integer within ±(2^53 - 1).`,
  );
}

/** Reads a double; NaN and both infinities stay what they are. */
export const double = (value: number | string): number => Number(value);

/** Writes a double; NaN and the infinities as text, as proto JSON does. */
export const doubleJson = (value: number): number | string =>
  Number.isFinite(value) ? value : String(value);
