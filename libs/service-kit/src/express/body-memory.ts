/** Memory of one request, for its body and for what is made of it. */
export type BodyMemory = {
  /** At least `bytes`, not zeroed. */
  take(bytes: number): ArrayBuffer;
  /** Gives everything back: nothing taken may be used after it. Without it the garbage collector takes over. */
  release(): void;
};

const ALIGNMENT = 8;

/** `length` bytes of which the one at `alignedAt` may begin numbers of any type. */
export function takeAligned(memory: BodyMemory, length: number, alignedAt: number): Buffer {
  const pad = (ALIGNMENT - (alignedAt % ALIGNMENT)) % ALIGNMENT;
  return Buffer.from(memory.take(length + pad), pad, length);
}

/**
 * Frees the memory of a piece that came from a socket, was copied or sent, and that nobody else holds. (One of Node's HTTP
 * parser only in a later turn of the loop: the parser may still be reading in that very memory.) Left to the garbage
 * collector, a megabyte arrives in memory that the processor has not in its cache and that is asked for piece by piece.
 */
export function freePiece(piece: Buffer): void {
  const { buffer } = piece;
  // what shares its memory with others is a view into a pool
  if (buffer.byteLength === piece.byteLength && buffer instanceof ArrayBuffer && !buffer.detached)
    buffer.transfer(0);
}
