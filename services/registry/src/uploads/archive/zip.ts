import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { isAppError } from '@millrace/contracts';
import type { Entry, ZipFile } from 'yauzl';
import yauzl from 'yauzl';
import type { SpooledFile } from '../spool.ts';
import type { ArchiveSink } from './archive-files.ts';
import { invalidArchive } from './archive-files.ts';

/** Kinds of files in the upper half of the external attributes, as Unix has them. */
const KIND_MASK = 0o170_000;
const KIND_FILE = 0o100_000;
const STORED = 0;
const DEFLATED = 8;

class SpoolReader extends yauzl.RandomAccessReader {
  readonly #file: SpooledFile;

  constructor(file: SpooledFile) {
    super();
    this.#file = file;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return this.#file.stream(start, end);
  }
}

function openZip(file: SpooledFile): Promise<ZipFile> {
  // names stay bytes: they are checked where those of other archives are
  const options = { lazyEntries: true, autoClose: false, validateEntrySizes: true, decodeStrings: false };
  return new Promise((resolve, reject) =>
    yauzl.fromRandomAccessReader(new SpoolReader(file), file.sizeBytes, options, (error, zip) =>
      error === null ? resolve(zip) : reject(error),
    ),
  );
}

function nextEntry(zip: ZipFile): Promise<Entry | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (work: () => void): void => {
      zip.removeAllListeners();
      work();
    };
    zip.once('entry', (entry: Entry) => settle(() => resolve(entry)));
    zip.once('end', () => settle(() => resolve(undefined)));
    zip.once('error', (error: Error) => settle(() => reject(error)));
    zip.readEntry();
  });
}

function openEntry(zip: ZipFile, entry: Entry): Promise<Readable> {
  return new Promise((resolve, reject) =>
    zip.openReadStream(entry, (error, stream) => (error === null ? resolve(stream) : reject(error))),
  );
}

/** The path of an entry; names are UTF-8, or ASCII from tools that do not say. */
function pathOf(entry: Entry): string {
  const name = entry.fileName as unknown as Buffer;
  return new TextDecoder('utf-8', { fatal: true }).decode(name);
}

const shown = (path: string): string => JSON.stringify(path.slice(0, 80));

function assertPlain(entry: Entry, path: string): void {
  const kind = (entry.externalFileAttributes >>> 16) & KIND_MASK;
  if (kind !== 0 && kind !== KIND_FILE) throw invalidArchive(`holds a link or device, ${shown(path)}`);
  if (entry.isEncrypted()) throw invalidArchive('is encrypted');
  if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED)
    throw invalidArchive(`packs ${shown(path)} by a method that is not taken; use deflate`);
}

async function* verified(stream: Readable, entry: Entry, path: string): AsyncGenerator<Buffer> {
  let sum = 0;
  for await (const chunk of stream) {
    sum = crc32(chunk as Buffer, sum);
    yield chunk as Buffer;
  }
  if (sum !== entry.crc32) throw invalidArchive(`is damaged at ${shown(path)}`);
}

/** Unpacks a .zip into the sink. @throws AppError `invalid_archive`, and what the sink throws */
export async function readZip(file: SpooledFile, sink: ArchiveSink): Promise<void> {
  try {
    const zip = await openZip(file);
    for (let entry = await nextEntry(zip); entry !== undefined; entry = await nextEntry(zip)) {
      const path = pathOf(entry);
      if (path.endsWith('/')) sink.skip();
      else {
        assertPlain(entry, path);
        await sink.file(path, verified(await openEntry(zip, entry), entry, path));
      }
    }
  } catch (error) {
    if (isAppError(error)) throw error;
    throw invalidArchive(`cannot be read as .zip: ${error instanceof Error ? error.message : ''}`, error);
  }
}
