import { crc32, deflateRawSync, gzipSync } from 'node:zlib';

/** A file of an archive, with what a hostile sender may set. */
export type Entry = {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Kind and rights as Unix has them; a plain file unless given. */
  readonly mode?: number;
  readonly crc?: number;
  /** 1 says encrypted. */
  readonly flags?: number;
  readonly method?: number;
  /** Type of the entry in a tar. */
  readonly type?: string;
};

const MODE_FILE = 0o100_644;

function fields(...values: [bytes: number, value: number][]): Buffer {
  return Buffer.concat(
    values.map(([bytes, value]) => {
      const field = Buffer.alloc(bytes);
      field.writeUIntLE(value, 0, bytes);
      return field;
    }),
  );
}

/** A .zip of the entries, deflated. */
export function zipOf(entries: readonly Entry[]): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { path, bytes, mode = MODE_FILE, crc = crc32(bytes), flags = 0, method = 8 } of entries) {
    const name = Buffer.from(path);
    const packed = method === 8 ? deflateRawSync(bytes) : Buffer.from(bytes);
    const shared = [
      [2, flags | 0x800],
      [2, method],
      [4, 0],
      [4, crc],
      [4, packed.length],
      [4, bytes.length],
      [2, name.length],
      [2, 0],
    ] as [number, number][];
    const local = Buffer.concat([
      Buffer.from('PK\x03\x04', 'latin1'),
      fields([2, 20], ...shared),
      name,
      packed,
    ]);
    const made = fields(
      [2, 0x0314],
      [2, 20],
      ...shared,
      [2, 0],
      [2, 0],
      [2, 0],
      [4, mode * 0x1_0000],
      [4, offset],
    );
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02', 'latin1'), made, name]));
    bodies.push(local);
    offset += local.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const count = entries.length;
  const end = fields([2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]);
  return Buffer.concat([...bodies, ...directory, Buffer.from('PK\x05\x06', 'latin1'), end]);
}

/** A header and its body, as a block of a tar has them. */
export function tarEntry({ path, bytes, type = '0' }: Entry): Buffer {
  const header = Buffer.alloc(512);
  header.write(path, 0, 100);
  header.write('0000644\0', 100);
  header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** A .tar.gz of the entries. */
export function tarGzOf(entries: readonly Entry[]): Buffer {
  return gzipSync(Buffer.concat([...entries.map(tarEntry), Buffer.alloc(1_024)]));
}
