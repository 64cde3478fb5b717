import type { FileHandle } from 'node:fs/promises';

/** Bytes that are read at once: large enough that hashing them hides the next read. */
const READ_BYTES = 1024 * 1024;
/** One piece is with the caller, one is being read, and one may still be held by who joins it to the next. */
const PIECES = 3;

/**
 * The content of a file from where it stands, in pieces of up to 1 MiB, the next read while the caller works on one.
 * A piece stays as it is until the piece after the next is asked for; who keeps it longer must copy it. New memory for
 * each MiB costs more than hashing it does.
 */
export async function* readAhead(file: FileHandle, sizeBytes: number): AsyncGenerator<Buffer> {
  const pieceBytes = Math.min(READ_BYTES, Math.max(1, sizeBytes));
  const pieces: Buffer[] = [];
  const read = (turn: number): ReturnType<typeof file.read<Buffer>> => {
    pieces[turn % PIECES] ??= Buffer.allocUnsafeSlow(pieceBytes);
    const reading = file.read(pieces[turn % PIECES] as Buffer, 0, pieceBytes, null);
    // of a read that nobody waits for any more nothing is to be told; who waits is told
    reading.catch(() => undefined);
    return reading;
  };
  let next = read(0);
  for (let turn = 1; ; turn += 1) {
    const { bytesRead, buffer } = await next;
    if (bytesRead === 0) return;
    next = read(turn);
    yield buffer.subarray(0, bytesRead);
  }
}
