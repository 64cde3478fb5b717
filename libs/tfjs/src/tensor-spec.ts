import type { ErrorCode } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { quote } from './json.ts';

/** One input or output of a TF.js model, as its file tells it. */
export type TfjsTensor = {
  /** Name that callers use. */
  readonly name: string;
  /** Name that the runtime uses: a tensor of the graph, or a layer. */
  readonly ref: string;
  /** Undefined where only a run tells. */
  readonly dtype: 'float32' | 'int32' | 'bool' | undefined;
  /** Null for a free size; undefined where only a run tells. */
  readonly shape: readonly (number | null)[] | undefined;
};

const DTYPES: Readonly<Record<string, 'float32' | 'int32' | 'bool'>> = {
  float32: 'float32',
  int32: 'int32',
  bool: 'bool',
  DT_FLOAT: 'float32',
  DT_INT32: 'int32',
  // the runtime has one whole-number type
  DT_INT64: 'int32',
  DT_INT16: 'int32',
  DT_INT8: 'int32',
  DT_UINT8: 'int32',
  DT_BOOL: 'bool',
};

/** The element type that the runtime gives such a tensor. @throws AppError `unsupported_input`, `unsupported_output` */
export function dtypeOf(text: string, name: string, code: ErrorCode): 'float32' | 'int32' | 'bool' {
  const dtype = Object.hasOwn(DTYPES, text) ? DTYPES[text] : undefined;
  if (dtype !== undefined) return dtype;
  throw new AppError(
    code,
    `${quote(name)} has elements of ${quote(text)}; TF.js models are served with float32, int32 and bool.`,
  );
}

/** Names that differ, for outputs of which two have one name: `y`, `y_2`. */
export function uniqueNames(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}_${count}`;
  });
}
