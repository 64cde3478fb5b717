import { existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import type { UploadSource } from '@millrace/sdk';
import type { Context } from './command.ts';
import { UsageError } from './command.ts';
import { bytes } from './format.ts';

/** How often progress is drawn (ms). */
const REDRAW_MS = 200;

/** Opens files for an upload, each under its own name; `close` them. Throws UsageError for one that is missing or empty. */
export async function openSources(
  paths: readonly string[],
): Promise<{ all: UploadSource[]; close(): Promise<void> }> {
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) throw new UsageError(`There is no file '${missing}'.`);
  const handles: FileHandle[] = [];
  const close = async (): Promise<void> => {
    for (const handle of handles) await handle.close();
  };
  try {
    const all: UploadSource[] = [];
    for (const path of paths) {
      const handle = await open(path, 'r');
      handles.push(handle);
      all.push(await sourceOf(basename(path), handle));
    }
    return { all, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function sourceOf(name: string, handle: FileHandle): Promise<UploadSource> {
  const { size } = await handle.stat();
  if (size === 0) throw new UsageError(`'${name}' is empty.`);
  return {
    name,
    sizeBytes: size,
    async read(start, end) {
      const piece = Buffer.allocUnsafe(end - start);
      for (let done = 0; done < piece.length; ) {
        const { bytesRead } = await handle.read(piece, done, piece.length - done, start + done);
        if (bytesRead === 0) throw new UsageError(`'${name}' became shorter while it was uploaded.`);
        done += bytesRead;
      }
      return piece;
    },
  };
}

/** Draws on a terminal how much of an upload has arrived. */
export function progressOf(context: Context, sources: readonly UploadSource[]) {
  const total = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  let drawnAt = 0;
  return {
    signal: context.signal,
    onPhase(phase: string) {
      if (context.isTerminal) context.redraw(`${phase} ${bytes(total)}`);
    },
    onBytes(sizeBytes: number) {
      done += sizeBytes;
      if (!context.isTerminal || Date.now() - drawnAt < REDRAW_MS) return;
      drawnAt = Date.now();
      context.redraw(`sent ${bytes(done)} of ${bytes(total)}`);
    },
  };
}
