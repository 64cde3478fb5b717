import { AppError } from '@millrace/contracts';

/** How a field of a protobuf message is written. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const TWO_32 = 4_294_967_296;
/** Bytes of a varint of 64 bits. */
const VARINT_BYTES_MAX = 10;
const FIELD_MAX = 536_870_911;

/** The error for bytes that are not a protobuf message. */
export function malformed(what: string): AppError {
  return new AppError('invalid_request', `The message is not valid protobuf: ${what}.`);
}

/**
 * A position in the bytes of a protobuf message. It makes no objects but the strings and views that are asked for.
 * Everything throws `invalid_request` instead of reading past `end`.
 */
export class WireReader {
  readonly bytes: Buffer;
  at: number;
  /** Where the message, or the message within it that is being read, ends. */
  end: number;
  /** The halves of the last varint, as unsigned numbers of 32 bits. */
  low = 0;
  high = 0;
  /** Of the last `field()`. */
  wireType = 0;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** Reads a varint into `low` and `high`. */
  varint(): void {
    const { bytes, end } = this;
    let { at } = this;
    let low = 0;
    let high = 0;
    for (let i = 0; i < VARINT_BYTES_MAX; i += 1) {
      if (at >= end) throw malformed('a number is cut off');
      const byte = bytes[at] as number;
      at += 1;
      if (i < 4) low |= (byte & 0x7f) << (7 * i);
      else if (i === 4) {
        low |= (byte & 0x0f) << 28;
        high = (byte & 0x7f) >> 4;
      } else high |= (byte & 0x7f) << (7 * i - 32);
      if (byte < 0x80) {
        this.at = at;
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw malformed('a number has more than 64 bits');
  }

  /** A varint as an unsigned number; exact up to 2^53, and beyond it never a safe integer. */
  unsigned(): number {
    this.varint();
    return this.high * TWO_32 + this.low;
  }

  /** A varint as a signed number of 64 bits; exact from -2^53 to 2^53, and beyond it never a safe integer. */
  signed(): number {
    this.varint();
    return (this.high | 0) * TWO_32 + this.low;
  }

  /** The number of the next field, with its `wireType`; 0 at the end. */
  field(): number {
    if (this.at === this.end) return 0;
    const tag = this.unsigned();
    const field = Math.floor(tag / 8);
    if (field < 1 || field > FIELD_MAX) throw malformed('a field has no valid number');
    this.wireType = tag % 8;
    return field;
  }

  /** Checks the type of the field just read. */
  expect(wireType: number): void {
    if (this.wireType !== wireType) throw malformed('a field has the wrong wire type');
  }

  /** Where the bytes that begin here end; `at` is then their start. */
  span(): number {
    this.expect(WIRE.bytes);
    const length = this.unsigned();
    if (length > this.end - this.at) throw malformed('a field is longer than the message');
    return this.at + length;
  }

  text(): string {
    const end = this.span();
    const text = this.bytes.toString('utf8', this.at, end);
    this.at = end;
    return text;
  }

  /** A view of the bytes of a field. */
  view(): Buffer {
    const end = this.span();
    const view = this.bytes.subarray(this.at, end);
    this.at = end;
    return view;
  }

  /** Passes over a field of whatever type. */
  skip(): void {
    if (this.wireType === WIRE.varint) this.varint();
    else if (this.wireType === WIRE.bytes) this.at = this.span();
    else if (this.wireType === WIRE.fixed64) this.pass(8);
    else if (this.wireType === WIRE.fixed32) this.pass(4);
    else throw malformed('a field has a wire type that is not known');
  }

  /** Passes over `count` bytes and gives where they began. */
  pass(count: number): number {
    if (count > this.end - this.at) throw malformed('a field is longer than the message');
    const start = this.at;
    this.at += count;
    return start;
  }
}
