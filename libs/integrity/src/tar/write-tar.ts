import { TAR_BLOCK_BYTES } from './read-tar.ts';

/** Longest name and largest size that a plain header holds; what is over them goes into POSIX attributes. */
const NAME_BYTES_MAX = 100;
const SIZE_OCTAL_MAX = 0o77_777_777_777;
const FILE_MODE = '0000644\0';

/** What comes before a file's bytes in a tar; equal names and sizes give equal bytes. */
export function tarFileHeader(path: string, sizeBytes: number): Buffer {
  const isLong = Buffer.byteLength(path) > NAME_BYTES_MAX;
  if (!isLong && sizeBytes <= SIZE_OCTAL_MAX) return header(path, sizeBytes, '0');
  const lines = [
    ...(isLong ? [attribute('path', path)] : []),
    ...(sizeBytes > SIZE_OCTAL_MAX ? [attribute('size', String(sizeBytes))] : []),
  ];
  const body = Buffer.concat(lines);
  return Buffer.concat([
    header('attributes', body.length, 'x'),
    body,
    tarPadding(body.length),
    header(isLong ? 'long-name' : path, sizeBytes > SIZE_OCTAL_MAX ? 0 : sizeBytes, '0'),
  ]);
}

/** What fills the last block of a file. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES);
}

/** The two empty blocks that end a tar. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * TAR_BLOCK_BYTES);
}

function header(path: string, sizeBytes: number, type: '0' | 'x'): Buffer {
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  block.write(path, 0, NAME_BYTES_MAX, 'utf8');
  block.write(FILE_MODE, 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124);
  block.write(`${'0'.repeat(11)}\0`, 136);
  block.write(' '.repeat(8), 148);
  block.write(type, 156);
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** `"<length> <name>=<value>\n"`, where the length counts its own digits. */
function attribute(name: string, value: string): Buffer {
  const rest = Buffer.from(` ${name}=${value}\n`, 'utf8');
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
