import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isAppError } from '@millrace/contracts';
import { readTar } from '@millrace/integrity';
import type { SpooledFile } from '../spool.ts';
import type { ArchiveSink } from './archive-files.ts';
import { invalidArchive } from './archive-files.ts';

/** Unpacks a .tar.gz into the sink. @throws AppError `invalid_archive`, and what the sink throws */
export async function readTarGz(file: SpooledFile, sink: ArchiveSink): Promise<void> {
  // an error of either ends the other; it is told by the reading below
  const unpacked = pipeline(file.stream(), createGunzip(), () => undefined);
  try {
    await readTar(unpacked, {
      file: (path, _sizeBytes, content) => sink.file(path, content),
      folder: () => sink.skip(),
      refuse: invalidArchive,
    });
  } catch (error) {
    if (isAppError(error)) throw error;
    throw invalidArchive(`cannot be read as .tar.gz: ${error instanceof Error ? error.message : ''}`, error);
  } finally {
    unpacked.destroy();
  }
}
