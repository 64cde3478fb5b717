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

/** Memory of processes, in bytes. */
export type Memory = {
  /** What only they hold and the kernel cannot take back: heaps, stacks, their share of shared memory. */
  ownBytes: number;
  /** Their share of programs and libraries mapped from files, which the kernel drops when it needs room. */
  fileBytes: number;
};

/** Memory of a process and its descendants by proportional share (PSS), so that shared pages count once. */
export function treeMemory(root: number): Memory {
  return sum(processTree(root).map(processMemory));
}

/** Memory of one process by proportional share; its resident size as `ownBytes` where the share may not be read. */
export function processMemory(pid: number): Memory {
  const rollup = `/proc/${pid}/smaps_rollup`;
  const fileBytes = field(rollup, 'Pss_File');
  if (fileBytes === null) return { ownBytes: field(`/proc/${pid}/status`, 'VmRSS') ?? 0, fileBytes: 0 };
  return { ownBytes: (field(rollup, 'Pss') ?? fileBytes) - fileBytes, fileBytes };
}

function sum(parts: readonly Memory[]): Memory {
  return {
    ownBytes: parts.reduce((total, part) => total + part.ownBytes, 0),
    fileBytes: parts.reduce((total, part) => total + part.fileBytes, 0),
  };
}

function field(file: string, name: string): number | null {
  try {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'utf8'));
    return match ? Number(match[1]) * KIB : null;
  } catch {
    return null;
  }
}
