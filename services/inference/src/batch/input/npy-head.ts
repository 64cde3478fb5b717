import { AppError } from '@millrace/contracts';
import type { DType } from '../../tensors/dtype.ts';

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
/** Longest description of an array (bytes). */
export const NPY_HEAD_BYTES_MAX = 64 * 1024;
const DIMENSIONS_MAX = 16;
/** The front of a file that we write: its length does not depend on the number of rows. */
const WRITTEN_BYTES = 256;

/** Types of elements as numpy names them, little-endian. */
const DESCRIPTIONS: Readonly<Record<string, Exclude<DType, 'string'>>> = {
  '<f2': 'float16',
  '<f4': 'float32',
  '<f8': 'float64',
  '|i1': 'int8',
  '<i2': 'int16',
  '<i4': 'int32',
  '<i8': 'int64',
  '|u1': 'uint8',
  '<u2': 'uint16',
  '<u4': 'uint32',
  '<u8': 'uint64',
  '|b1': 'bool',
};

/** What the front of a .npy file says; `headBytes` is where the values begin. */
export type NpyHead = { headBytes: number; descr: string; shape: number[] };

const invalid = (why: string): AppError => new AppError('batch_input_invalid', `The .npy file ${why}.`);

/** Element type of a description of numpy. Throws `batch_input_invalid` for one that is not served. */
export function npyType(descr: string): Exclude<DType, 'string'> {
  const dtype = Object.hasOwn(DESCRIPTIONS, descr) ? DESCRIPTIONS[descr] : undefined;
  if (dtype !== undefined) return dtype;
  throw invalid(
    `has elements of type ${JSON.stringify(descr.slice(0, 20))}; save little-endian numbers or booleans`,
  );
}

/** Description of numpy for an element type; undefined for strings, which .npy has only as objects. */
export function npyDescription(dtype: DType): string | undefined {
  return Object.keys(DESCRIPTIONS).find((descr) => DESCRIPTIONS[descr] === dtype);
}

/**
 * Reads the front of a .npy file (format 1.0 to 3.0 of numpy.lib.format) from its first bytes.
 * Throws `batch_input_invalid`.
 */
export function readNpyHead(bytes: Buffer): NpyHead {
  if (bytes.length < 10 || !bytes.subarray(0, 6).equals(MAGIC)) throw invalid('does not begin as one');
  const major = bytes[6] as number;
  if (major < 1 || major > 3) throw invalid(`has format ${major}, and 1 to 3 are known`);
  const textAt = major === 1 ? 10 : 12;
  if (bytes.length < textAt) throw invalid('is cut off');
  const textBytes = major === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  if (textBytes > NPY_HEAD_BYTES_MAX - textAt) throw invalid(`describes itself in ${textBytes} bytes`);
  if (bytes.length < textAt + textBytes) throw invalid('is cut off');
  const text = bytes.toString('latin1', textAt, textAt + textBytes);
  const descr = /'descr':\s*'([^']{1,16})'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape':\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  if (descr === undefined || order === undefined || sizes === undefined)
    throw invalid('is no array of one plain type');
  const shape = sizes
    .split(',')
    .map((size) => size.trim())
    .filter((size) => size !== '')
    .map(Number);
  // a single row or column is in both orders at once
  if (order === 'True' && shape.length > 1)
    throw invalid('is in Fortran order; save numpy.ascontiguousarray(array)');
  if (shape.length === 0 || shape.length > DIMENSIONS_MAX || !shape.every(Number.isSafeInteger))
    throw invalid('has no rows, or more dimensions than a tensor has');
  npyType(descr);
  return { headBytes: textAt + textBytes, descr, shape };
}

/** The front of a .npy file, always of the same length. */
export function writeNpyHead(descr: string, shape: readonly number[]): Buffer {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const head = Buffer.alloc(WRITTEN_BYTES, 0x20);
  MAGIC.copy(head);
  head[6] = 1;
  head[7] = 0;
  head.writeUInt16LE(WRITTEN_BYTES - 10, 8);
  if (head.write(text, 10, 'latin1') !== text.length)
    throw new AppError('internal', 'The shape of an output is too long for a .npy file.');
  head[WRITTEN_BYTES - 1] = 0x0a;
  return head;
}
