const FIRST_BYTES = 1_024;
/** Memory that a writer keeps when it is used again (bytes). */
const KEPT_BYTES_MAX = 64 * 1024;
const VARINT_BYTES_MAX = 10;
const BYTES_WIRE = 2;
const MASK_64 = (1n << 64n) - 1n;

/** Bytes that a whole number takes as a varint. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest /= 0x80) bytes += 1;
  return bytes;
}

/** Writes the fields of a protobuf message into memory that grows. */
export class WireWriter {
  private bytes = Buffer.allocUnsafe(FIRST_BYTES);
  private at = 0;

  private reserve(count: number): void {
    if (this.at + count <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.at + count, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }

  private tag(field: number, wireType: number): void {
    this.whole(field * 8 + wireType);
  }

  /** A varint; negative numbers take ten bytes. */
  whole(value: number | bigint): void {
    this.reserve(VARINT_BYTES_MAX);
    if (typeof value === 'bigint' || value < 0) {
      this.wide(BigInt(value) & MASK_64);
      return;
    }
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.at++] = rest;
  }

  private wide(value: bigint): void {
    let rest = value;
    while (rest >= 0x80n) {
      this.bytes[this.at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.bytes[this.at++] = Number(rest);
  }

  /** A text or bytes; of a repeated field also when it is empty. */
  text(field: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.tag(field, BYTES_WIRE);
    this.whole(length);
    this.reserve(length);
    this.at += this.bytes.write(text, this.at);
  }

  blob(field: number, bytes: Uint8Array): void {
    this.tag(field, BYTES_WIRE);
    this.whole(bytes.byteLength);
    this.reserve(bytes.byteLength);
    this.bytes.set(bytes, this.at);
    this.at += bytes.byteLength;
  }

  /** A message or a packed list within this one; left out when nothing is written. */
  packed(field: number, write: (inner: WireWriter) => void): void {
    const before = this.at;
    this.tag(field, BYTES_WIRE);
    // the length goes before the content: room for a short one, which a long content is moved away from
    this.reserve(1);
    const lengthAt = this.at;
    this.at += 1;
    write(this);
    const end = this.at;
    const length = end - lengthAt - 1;
    if (length === 0) {
      this.at = before;
      return;
    }
    const more = varintBytes(length) - 1;
    this.reserve(more + VARINT_BYTES_MAX);
    this.bytes.copyWithin(lengthAt + 1 + more, lengthAt + 1, end);
    this.at = lengthAt;
    this.whole(length);
    this.at = end + more;
  }

  /** What was written: valid until the next `clear`. */
  written(): Buffer {
    return this.bytes.subarray(0, this.at);
  }

  /** Begins anew in the same memory, unless that has grown large. */
  clear(): void {
    this.at = 0;
    if (this.bytes.length > KEPT_BYTES_MAX) this.bytes = Buffer.allocUnsafe(FIRST_BYTES);
  }
}
