import { readdirSync, readFileSync } from 'node:fs';
import { statFields } from './pid-file.ts';

const KIB = 1024;

/** A process and all that descend from it, parents first. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const parent = Number(statFields(pid)?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/**
 * Memory a process and its descendants hold, in bytes: the proportional share (PSS), so that pages shared between
 * them count once; the resident size where the share may not be read.
 */
export function treeMemory(root: number): number {
  return processTree(root).reduce((sum, pid) => sum + memoryOf(pid), 0);
}

function memoryOf(pid: number): number {
  return field(`/proc/${pid}/smaps_rollup`, 'Pss') ?? field(`/proc/${pid}/status`, 'VmRSS') ?? 0;
}

function field(file: string, name: string): number | null {
  try {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'utf8'));
    return match ? Number(match[1]) * KIB : null;
  } catch {
    return null;
  }
}
