/** A file that is read in pieces, so that only what is looked at is in memory. */
export type OnnxSource = {
  readonly sizeBytes: number;
  /**
   * The bytes from `start` up to but not including `end`, all of them. Where `into` is given, which is as long, they may
   * lie in it.
   */
  read(start: number, end: number, into?: Uint8Array): Uint8Array;
};

/** Bytes that are in memory anyway, as a source; what is read are views of them. */
export function sourceOf(bytes: Uint8Array): OnnxSource {
  return { sizeBytes: bytes.byteLength, read: (start, end) => bytes.subarray(start, end) };
}

/** Part of a source: from `start` up to but not including `end`. */
export type ByteRange = { readonly start: number; readonly end: number };

/** Part of a file: bytes of its own, or a range of the source that it was made from. */
export type OnnxSegment = Uint8Array | ByteRange;

/** Bytes of a source that are in memory at once while a range of it is gone through. */
const PIECE_BYTES = 256 * 1024;

/** A range of a source, piece by piece; each is gone when the next is asked for. */
export function* piecesOf(source: OnnxSource, { start, end }: ByteRange): Generator<Uint8Array> {
  const room = new Uint8Array(Math.min(PIECE_BYTES, end - start));
  for (let at = start; at < end; at += room.length) {
    const to = Math.min(end, at + room.length);
    yield source.read(at, to, room.subarray(0, to - at));
  }
}
