import type { BodyMemory } from '@millrace/service-kit';

/** Memory is handed out in powers of two from this size; smaller pieces are left to the garbage collector (bytes). */
const PIECE_MIN_BYTES = 2 * 1024;
/** Larger pieces are not kept (bytes). */
const PIECE_MAX_BYTES = 16 * 1024 * 1024;
/** What no request needed for this long is given back to the machine (ms). */
const IDLE_MS = 2_000;

export type MemoryPool = { lease(): BodyMemory; idleBytes(): number };

/** Pieces of one size that wait for a request; the one that came last is taken first. */
type Shelf = { pieces: ArrayBuffer[]; leastIdle: number };

/**
 * Keeps the large pieces that requests used, for the next ones. Bodies of 1.6 MB and tensors of 0.6 MB otherwise
 * make the garbage collector take as much time as reading the numbers, and double the memory. Pieces that all
 * requests of `idleMs` had no need of are freed there and then: left to the garbage collector, which has nothing to do
 * in an idle process, they would stay for hours.
 */
export function createMemoryPool(idleBytesMax: number, idleMs = IDLE_MS): MemoryPool {
  const shelves = new Map<number, Shelf>();
  let idleBytes = 0;
  let timer: NodeJS.Timeout | undefined;

  function giveBack(piece: ArrayBuffer): void {
    const size = piece.byteLength;
    if (idleBytes + size > idleBytesMax) return;
    idleBytes += size;
    const shelf = shelves.get(size);
    if (shelf === undefined) shelves.set(size, { pieces: [piece], leastIdle: 0 });
    else shelf.pieces.push(piece);
    timer ??= setInterval(freeIdle, idleMs).unref();
  }

  function take(size: number): ArrayBuffer {
    const shelf = shelves.get(size);
    const held = shelf?.pieces.pop();
    if (shelf === undefined || held === undefined) return new ArrayBuffer(size);
    idleBytes -= size;
    shelf.leastIdle = Math.min(shelf.leastIdle, shelf.pieces.length);
    return held;
  }

  /** Frees the pieces at the bottom of each shelf that were never reached since the last time. */
  function freeIdle(): void {
    for (const [size, shelf] of shelves) {
      for (const piece of shelf.pieces.splice(0, shelf.leastIdle)) {
        idleBytes -= size;
        piece.transfer(0);
      }
      shelf.leastIdle = shelf.pieces.length;
      if (shelf.pieces.length === 0) shelves.delete(size);
    }
    if (shelves.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  return {
    idleBytes: () => idleBytes,
    lease() {
      let taken: ArrayBuffer[] = [];
      return {
        take(bytes) {
          if (bytes < PIECE_MIN_BYTES || bytes > PIECE_MAX_BYTES) return new ArrayBuffer(bytes);
          const piece = take(2 ** Math.ceil(Math.log2(bytes)));
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
