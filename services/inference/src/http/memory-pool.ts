import type { BodyMemory } from '@millrace/service-kit';

/** Memory is handed out in powers of two from this size; smaller pieces are left to the garbage collector (bytes). */
const PIECE_MIN_BYTES = 2 * 1024;
/** Larger pieces are not kept (bytes). */
const PIECE_MAX_BYTES = 16 * 1024 * 1024;

export type MemoryPool = { lease(): BodyMemory; idleBytes(): number };

/**
 * Keeps the large pieces that requests used, for the next ones. Bodies of 1.6 MB and tensors of 0.6 MB otherwise
 * make the garbage collector take as much time as reading the numbers, and double the memory.
 */
export function createMemoryPool(idleBytesMax: number): MemoryPool {
  const idle = new Map<number, ArrayBuffer[]>();
  let idleBytes = 0;

  function giveBack(piece: ArrayBuffer): void {
    if (idleBytes + piece.byteLength > idleBytesMax) return;
    idleBytes += piece.byteLength;
    const held = idle.get(piece.byteLength);
    if (held === undefined) idle.set(piece.byteLength, [piece]);
    else held.push(piece);
  }

  return {
    idleBytes: () => idleBytes,
    lease() {
      let taken: ArrayBuffer[] = [];
      return {
        take(bytes) {
          if (bytes < PIECE_MIN_BYTES || bytes > PIECE_MAX_BYTES) return new ArrayBuffer(bytes);
          const size = 2 ** Math.ceil(Math.log2(bytes));
          const held = idle.get(size)?.pop();
          if (held !== undefined) idleBytes -= size;
          const piece = held ?? new ArrayBuffer(size);
          taken.push(piece);
          return piece;
        },
        release() {
          for (const piece of taken) giveBack(piece);
          taken = [];
        },
      };
    },
  };
}
