import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findPython, type Python } from './python.ts';

/** The part of an environment that is smaller where its own build for processors lies on disk. */
export type CpuBuild = {
  /** Name of the package, as its wheels are called. */
  wheel: string;
  /** Lock to use then. */
  lock: string;
};

/**
 * Whether a folder that uv or pip looks into for wheels holds the CPU build (`+cpu`) of a package for this Python.
 * Folders come from UV_FIND_LINKS (commas or spaces between), else PIP_FIND_LINKS; addresses among them are not asked.
 */
export function hasCpuWheel(wheel: string, python: Pick<Python, 'version'>, env: NodeJS.ProcessEnv): boolean {
  const [major, minor] = python.version.split('.');
  const tag = `-cp${major}${minor}-`;
  const folders = (env.UV_FIND_LINKS || env.PIP_FIND_LINKS || '').split(/[\s,]+/).filter(Boolean);
  return folders.some((folder) =>
    wheelsIn(folder).some(
      (name) => name.startsWith(`${wheel}-`) && name.includes('+cpu-') && name.includes(tag),
    ),
  );
}

function wheelsIn(folder: string): string[] {
  try {
    return readdirSync(folder.replace(/^file:\/\//, '')).filter((name) => name.endsWith('.whl'));
  } catch {
    return [];
  }
}

/**
 * Whether the environment of PyTorch is there, or quick to make because its CPU build lies on disk; else making it
 * fetches gigabytes. `root` is the folder of all environments.
 */
export async function isTorchAtHand(root: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  return existsSync(join(root, 'torch', 'bin', 'python')) || hasCpuWheel('torch', await findPython(env), env);
}
