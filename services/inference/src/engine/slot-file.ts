import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SlotFile } from './host-protocol.ts';

/** Linux keeps files of this folder in memory. */
const MEMORY_FOLDER = '/dev/shm';
/** A slot that grew past this is cut back after the run, so that one large request does not hold memory (bytes). */
const SLOT_KEEP_BYTES = 16 * 1024 * 1024;

/** Read and write whole ranges of an open file. */
export function slotOn(fd: number): SlotFile {
  return {
    write(bytes, position) {
      for (let done = 0; done < bytes.byteLength; ) {
        done += writeSync(fd, bytes, done, bytes.byteLength - done, position + done);
      }
    },
    read(into, position) {
      for (let done = 0; done < into.byteLength; ) {
        const count = readSync(fd, into, done, into.byteLength - done, position + done);
        if (count === 0) throw new Error('A slot ended before its tensor did.');
        done += count;
      }
    },
  };
}

export type Slot = SlotFile & { readonly fd: number; shrink(): void; close(): void };

function folderForSlots(): string {
  const base = statSync(MEMORY_FOLDER, { throwIfNoEntry: false })?.isDirectory() ? MEMORY_FOLDER : tmpdir();
  return mkdtempSync(join(base, 'millrace-slot-'));
}

/** Makes a slot: a file in memory with no name left, gone when both processes have closed it. */
export function createSlot(): Slot {
  const folder = folderForSlots();
  const path = join(folder, 'slot');
  const fd = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  rmSync(folder, { recursive: true });
  return {
    fd,
    ...slotOn(fd),
    shrink() {
      ftruncateSync(fd, SLOT_KEEP_BYTES);
    },
    close: () => closeSync(fd),
  };
}
