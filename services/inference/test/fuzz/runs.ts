import { AppError } from '@millrace/contracts';
import { isLongRun } from '@millrace/testing';
import fc from 'fast-check';

/** Long runs for those who look for faults: a hundred times the cases. */
const FACTOR = isLongRun ? 100 : 1;

/** Checks a property; a failure prints its seed and path, which repeat it. */
export function check(property: fc.IRawProperty<unknown>, numRuns: number): void {
  fc.assert(property as fc.IProperty<unknown>, { numRuns: numRuns * FACTOR });
}

/** What a reader gave, or undefined for an AppError of status 400 or 413; any other error is thrown on. */
export function orRefused<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof AppError && (error.status === 400 || error.status === 413)) return undefined;
    throw error;
  }
}

/** The same bytes in the middle of a larger piece of memory, which a reader must not see. */
export function surrounded(bytes: Uint8Array, filler: number, offset: number): Buffer {
  const memory = Buffer.alloc(offset + bytes.length + 64, filler);
  memory.set(bytes, offset);
  return memory.subarray(offset, offset + bytes.length);
}
