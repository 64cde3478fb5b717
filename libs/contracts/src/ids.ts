import { v7 } from 'uuid';

const RANDOM_BYTES = 16;
/** Random bytes are asked of the system for this many ids at once: each asking costs as much as several ids. */
const IDS_AHEAD = 256;
const pool = new Uint8Array(RANDOM_BYTES * IDS_AHEAD);
/** The sequence of a millisecond begins anywhere in the lower half of its 32 bits. */
const SEQUENCE_START_MAX = 0x7fff_ffff;
let nextRandom = pool.length;
let lastMs = 0;
let sequence = 0;

/** A new UUIDv7: unique, and sorted by time of creation, also within a millisecond of this process. */
export function newId(): string {
  if (nextRandom === pool.length) {
    crypto.getRandomValues(pool);
    nextRandom = 0;
  }
  const random = pool.subarray(nextRandom, nextRandom + RANDOM_BYTES);
  nextRandom += RANDOM_BYTES;
  const now = Date.now();
  if (now > lastMs) {
    lastMs = now;
    sequence = new DataView(random.buffer, random.byteOffset).getUint32(0) & SEQUENCE_START_MAX;
  } else {
    sequence = (sequence + 1) >>> 0;
    if (sequence === 0) lastMs += 1;
  }
  return v7({ random, msecs: lastMs, seq: sequence });
}

const NAME = /^[^/\\:\p{Cc}]{1,255}$/u;

/** Whether a text may be a model name or version label (see the `invalid_name` error). */
export function isValidName(value: string): boolean {
  return NAME.test(value) && value.trim().length > 0 && value !== '.' && value !== '..';
}
