import { constants, createReadStream } from 'node:fs';
import { lstat, open, readdir } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { isAppError } from '@millrace/contracts';
import { readTar } from '../tar/read-tar.ts';
import { BUNDLE_ENTRIES_MAX, invalidBundle } from './layout.ts';

/** Bytes that are read at once: large enough that hashing them hides the next read. */
const READ_BYTES = 1024 * 1024;

/** Takes the files of a bundle, in any order; `content` must be read to its end. */
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
  if (info.isFile()) return tarBundle(() => createReadStream(path, { highWaterMark: READ_BYTES }));
  throw invalidBundle('is a link or device; name the folder or file itself');
}

/** A bundle whose tar comes as a stream; `open` is asked for one each time that it is gone through. */
export function tarBundle(open: () => Readable): BundleSource {
  return (visit) => visitTar(open(), visit);
}

async function visitTar(stream: Readable, visit: BundleVisitor): Promise<void> {
  const count = createCounter();
  try {
    await readTar(stream, {
      refuse: invalidBundle,
      folder: count,
      file: (name, sizeBytes, content) => {
        count();
        return visit(name, sizeBytes, content);
      },
    });
  } catch (error) {
    if (isAppError(error)) throw error;
    throw invalidBundle(`cannot be read as .tar: ${error instanceof Error ? error.message : ''}`, error);
  } finally {
    stream.destroy();
  }
}

async function visitFolder(root: string, visit: BundleVisitor): Promise<void> {
  const count = createCounter();
  async function walk(folder: string): Promise<void> {
    for (const entry of await readdir(`${root}/${folder}`, { withFileTypes: true })) {
      count();
      const path = `${folder}${entry.name}`;
      if (entry.isDirectory()) await walk(`${path}/`);
      else if (entry.isFile()) await visitFile(`${root}/${path}`, path, visit);
      else throw invalidBundle(`holds a link or device, ${JSON.stringify(path)}`);
    }
  }
  await walk('');
}

/** Opens without following a link, and looks again at what was opened: it may have been replaced since it was listed. */
async function visitFile(file: string, path: string, visit: BundleVisitor): Promise<void> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch((cause: unknown) => {
    throw invalidBundle(`has a file that cannot be opened, ${JSON.stringify(path)}`, cause);
  });
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw invalidBundle(`holds a link or device, ${JSON.stringify(path)}`);
    await visit(path, info.size, handle.createReadStream({ autoClose: false, highWaterMark: READ_BYTES }));
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
