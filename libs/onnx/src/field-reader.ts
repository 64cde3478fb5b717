import { WireType } from '@bufbuild/protobuf/wire';
import type { OnnxSource } from './source.ts';
import { notOnnx } from './wire-scan.ts';

/** Bytes that are read at once while fields are gone through. */
const WINDOW_BYTES = 16 * 1024;
/** A varint of 64 bits has at most ten bytes. */
const VARINT_BYTES_MAX = 10;

/** Where a field is, and what it is; its value or length is read next. */
export type FieldTag = { readonly number: number; readonly wireType: WireType; readonly lengthAt: number };

/** Goes through the fields of a protobuf file, of which a window is in memory. */
export type FieldReader = ReturnType<typeof createFieldReader>;

/** Opens a reader at the beginning. All of it throws `not_onnx` for what is no protobuf. */
export function createFieldReader(source: OnnxSource) {
  const room = new Uint8Array(Math.min(WINDOW_BYTES, source.sizeBytes));
  let at = 0;
  let window: Uint8Array = new Uint8Array(0);
  let windowAt = 0;

  function byte(): number {
    if (at < windowAt || at >= windowAt + window.byteLength) {
      if (at >= source.sizeBytes) throw notOnnx('its bytes are cut off or damaged');
      windowAt = at;
      const end = Math.min(source.sizeBytes, at + room.length);
      window = source.read(at, end, room.subarray(0, end - at));
    }
    const value = window[at - windowAt] ?? 0;
    at += 1;
    return value;
  }

  /** Exact up to 2^53; what is above is only known to be too much for any length. */
  function varint(): number {
    let value = 0;
    for (let i = 0; i < VARINT_BYTES_MAX; i += 1) {
      const next = byte();
      value += (next & 0x7f) * 2 ** (7 * i);
      if (next < 0x80) return value;
    }
    throw notOnnx('its bytes are cut off or damaged');
  }

  return {
    at: () => at,
    moveTo(position: number): void {
      at = position;
    },
    varint,
    tag(): FieldTag {
      const value = varint();
      if (value > 0xffff_ffff || value < 8) throw notOnnx('it has a field without a number');
      return { number: Math.floor(value / 8), wireType: value % 8, lengthAt: at };
    },
    /** Passes a value that says its own length. */
    skip(wireType: WireType): void {
      if (wireType === WireType.Varint) varint();
      else if (wireType === WireType.Bit32) at += 4;
      else if (wireType === WireType.Bit64) at += 8;
      else throw notOnnx('it has protobuf groups');
    },
  };
}
