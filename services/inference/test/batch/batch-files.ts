import { parquetWriteBuffer } from 'hyparquet-writer';

/** Columns of the classifier's one input. */
export const COLUMNS = Array.from({ length: 10 }, (_, i) => `f${i}`);

/** Rows for the classifier that differ from each other; every value is exactly a float32. */
export function makeRows(count: number): number[][] {
  let state = 12_345;
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.fround(state / 0x7fffffff - 0.5);
  };
  return Array.from({ length: count }, () => COLUMNS.map(next));
}

export function csvOf(rows: readonly (readonly unknown[])[], columns: readonly string[] = COLUMNS): Buffer {
  return Buffer.from(`${[columns, ...rows].map((row) => row.join(',')).join('\r\n')}\r\n`);
}

/** As numpy.save writes a float32 array of format 1.0. */
export function npyOf(rows: readonly (readonly number[])[]): Buffer {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows.length}, ${rows[0]?.length}), }`;
  const padded = `${text.padEnd(64 * Math.ceil((text.length + 11) / 64) - 11)}\n`;
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY', 'latin1');
  head[6] = 1;
  head.writeUInt16LE(padded.length, 8);
  const values = Float32Array.from(rows.flat());
  return Buffer.concat([head, Buffer.from(padded, 'latin1'), Buffer.from(values.buffer)]);
}

export function parquetOf(rows: readonly (readonly number[])[], rowGroupSize: number): Buffer {
  const columnData = COLUMNS.map((name, i) => ({
    name,
    type: 'FLOAT' as const,
    data: rows.map((row) => row[i] as number),
  }));
  return Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize }));
}

/** The values of a float32 .npy file and their shape. */
export function readNpy(bytes: Buffer): { shape: number[]; data: Float32Array } {
  const headBytes = 10 + bytes.readUInt16LE(8);
  const head = bytes.toString('latin1', 10, headBytes);
  const shape = (/'shape': \(([^)]*)\)/.exec(head)?.[1] ?? '')
    .split(',')
    .filter((size) => size.trim() !== '');
  return {
    shape: shape.map(Number),
    data: new Float32Array(new Uint8Array(bytes.subarray(headBytes)).buffer),
  };
}
