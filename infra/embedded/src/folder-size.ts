import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK_BYTES = 512;

/** Disk space a folder takes, in bytes, links not followed; 0 when it is missing. */
export function folderSize(folder: string): number {
  let total = 0;
  const entries = list(folder);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) total += folderSize(path);
    else total += lstatSync(path).blocks * BLOCK_BYTES;
  }
  return total;
}

function list(folder: string): import('node:fs').Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
