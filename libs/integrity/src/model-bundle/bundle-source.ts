import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, readdir } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { isAppError } from '@millrace/contracts';
import { readTar } from '../tar/read-tar.ts';
import { BUNDLE_ENTRIES_MAX, invalidBundle } from './layout.ts';
import { readAhead } from './read-ahead.ts';

/** Takes the files of a bundle, in any order; `content` must be read to its end, and a piece of it kept only as a copy. */
export type BundleVisitor = (
  path: string,
  sizeBytes: number,
  content: AsyncIterable<Buffer>,
) => Promise<void>;

/** Shows every file of a bundle once. Throws `invalid_bundle` for links, devices, and what cannot be read. */
export type BundleSource = (visit: BundleVisitor) => Promise<void>;

/** A bundle that lies in a folder or in a tar. Rejects with ENOENT when there is nothing. */
export async function openModelBundle(path: string): Promise<BundleSource> {
  const info = await lstat(path);
  if (info.isDirectory()) return (visit) => visitFolder(path, visit);
  if (info.isFile()) return (visit) => visitTarFile(path, visit);
  throw invalidBundle('is a link or device; name the folder or file itself');
}

/** A bundle whose tar comes as a stream; `open` is asked for one each time that it is gone through. */
export function tarBundle(open: () => Readable): BundleSource {
  return async (visit) => {
    const stream = open();
    try {
      await visitTar(stream, visit);
    } finally {
      stream.destroy();
    }
  };
}

async function visitTarFile(path: string, visit: BundleVisitor): Promise<void> {
  await withFile(path, path, async (file, sizeBytes) => await visitTar(readAhead(file, sizeBytes), visit));
}

async function visitTar(content: AsyncIterable<Buffer>, visit: BundleVisitor): Promise<void> {
  const count = createCounter();
  try {
    await readTar(content, {
      refuse: invalidBundle,
      folder: count,
      file: (name, sizeBytes, bytes) => {
        count();
        return visit(name, sizeBytes, bytes);
      },
    });
  } catch (error) {
    if (isAppError(error)) throw error;
    throw invalidBundle(`cannot be read as .tar: ${error instanceof Error ? error.message : ''}`, error);
  }
}

async function visitFolder(root: string, visit: BundleVisitor): Promise<void> {
  const count = createCounter();
  async function walk(folder: string): Promise<void> {
    for (const entry of await readdir(`${root}/${folder}`, { withFileTypes: true })) {
      count();
      const path = `${folder}${entry.name}`;
      if (entry.isDirectory()) await walk(`${path}/`);
      else if (entry.isFile())
        await withFile(
          `${root}/${path}`,
          path,
          async (file, sizeBytes) => await visit(path, sizeBytes, readAhead(file, sizeBytes)),
        );
      else throw invalidBundle(`holds a link or device, ${JSON.stringify(path)}`);
    }
  }
  await walk('');
}

/** Opens without following a link, and looks again at what was opened: it may have been replaced since it was listed. */
async function withFile(
  file: string,
  shown: string,
  use: (handle: FileHandle, sizeBytes: number) => Promise<void>,
): Promise<void> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch((cause: unknown) => {
    throw invalidBundle(`has a file that cannot be opened, ${JSON.stringify(shown)}`, cause);
  });
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw invalidBundle(`holds a link or device, ${JSON.stringify(shown)}`);
    await use(handle, info.size);
  } finally {
    await handle.close();
  }
}

function createCounter(): () => void {
  let entries = 0;
  return () => {
    entries += 1;
    if (entries > BUNDLE_ENTRIES_MAX) throw invalidBundle(`has more than ${BUNDLE_ENTRIES_MAX} entries`);
  };
}
