import { AppError } from '@millrace/contracts';
import type { ModelSignature, TensorSpec } from '../../tensors/tensor.ts';
import type { ColumnMapping } from '../batch-request.ts';

/** Columns named in a message. */
const SHOWN_MAX = 20;

const shown = (names: readonly string[]): string =>
  `${names.slice(0, SHOWN_MAX).join(', ')}${names.length > SHOWN_MAX ? ', …' : ''}`;

/** Checks that a mapping names inputs of the model only. Throws `extra_input`. */
function assertMapping(signature: ModelSignature, mapping: ColumnMapping): void {
  const known = signature.inputs.map(({ name }) => name);
  const extra = Object.keys(mapping).find((name) => !known.includes(name));
  if (extra !== undefined)
    throw new AppError('extra_input', `The model has no input "${extra}"; it takes ${known.join(', ')}.`);
}

/**
 * The columns of each input, in the model's order: those of the mapping, else the column called like the input, else for
 * a model with one input all of them. Throws `extra_input`, `missing_input` and `batch_input_invalid`.
 */
export function bindColumns(
  signature: ModelSignature,
  columns: readonly string[],
  mapping: ColumnMapping | null,
): string[][] {
  assertMapping(signature, mapping ?? {});
  const twice = columns.find((name, i) => columns.indexOf(name) !== i);
  const columnsOf = ({ name }: TensorSpec): string[] => {
    const mapped = mapping?.[name];
    if (mapped !== undefined) return mapped;
    if (columns.includes(name)) return [name];
    if (signature.inputs.length === 1) return [...columns];
    throw new AppError(
      'missing_input',
      `No column is called like the input "${name}"; there are ${shown(columns)}. Say by \`columns\` which make it.`,
    );
  };
  return signature.inputs.map((spec) => {
    const own = columnsOf(spec);
    const unknown = own.find((name) => !columns.includes(name));
    if (unknown !== undefined) {
      throw new AppError(
        'batch_input_invalid',
        `There is no column "${unknown}" for the input "${spec.name}"; there are ${shown(columns)}.`,
      );
    }
    // by position the second of them could still be reached, by name it cannot
    if (twice !== undefined && mapping !== null && own.includes(twice))
      throw new AppError('batch_input_invalid', `Two columns are called "${twice}"; rename one.`);
    return own;
  });
}

/** The fields of JSON lines that make each input; undefined where every line names the inputs themselves. */
export function bindFields(
  signature: ModelSignature,
  columns: readonly string[] | undefined,
  mapping: ColumnMapping | null,
): string[][] | undefined {
  if (columns !== undefined) return bindColumns(signature, columns, mapping);
  if (mapping === null) return undefined;
  assertMapping(signature, mapping);
  return signature.inputs.map(({ name }) => mapping[name] ?? [name]);
}
