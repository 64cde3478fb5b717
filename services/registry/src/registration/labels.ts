import { AppError, isValidName } from '@millrace/contracts';

/** A label of digits is an ordinal too; longer ones are plain labels (Postgres integers end at 2,147,483,647). */
const ORDINAL_LABEL = /^[1-9][0-9]{0,8}$/;

/** The ordinal that a label of digits asks for; undefined for any other label. */
export function ordinalOfLabel(label: string): number | undefined {
  return ORDINAL_LABEL.test(label) ? Number(label) : undefined;
}

/** @throws AppError `invalid_name` unless both the model's name and the label can be one */
export function assertNames(model: string, label: string | undefined): void {
  for (const [what, name] of [
    ['model name', model],
    ['version', label],
  ] as const) {
    if (name === undefined || isValidName(name)) continue;
    throw new AppError(
      'invalid_name',
      `The ${what} ${JSON.stringify(name.slice(0, 80))} is not allowed: give 1 to 255 characters without slash, backslash, colon or control characters.`,
    );
  }
}

/**
 * Label and ordinal of a new version. Without a label it is `v<ordinal>`, skipping ordinals whose label is taken.
 * `isTaken` tells whether a label is in use; `lastOrdinal` is the highest given so far.
 */
export async function nextVersion(
  label: string | undefined,
  lastOrdinal: number,
  isTaken: (label: string) => Promise<boolean>,
): Promise<{ label: string; ordinal: number }> {
  if (label !== undefined) return { label, ordinal: ordinalOfLabel(label) ?? lastOrdinal + 1 };
  for (let ordinal = lastOrdinal + 1; ; ordinal += 1) {
    if (!(await isTaken(`v${ordinal}`))) return { label: `v${ordinal}`, ordinal };
  }
}
