import { AppError } from '@millrace/contracts';
import { assertArtifactPath } from '@millrace/integrity';
import { artifactPath } from '../../tracking/artifact-path.ts';
import type { SpoolArea, SpooledFile } from '../spool.ts';

/** Bounds on what an archive may hold; a SavedModel has some ten files, a large TF.js model some hundred. */
export const archiveLimits = {
  /** Files, folders not counted. */
  filesMax: 1_024,
  /** Entries of any kind. */
  entriesMax: 4_096,
  /** Bytes of all files once unpacked: those of the largest model that is taken. */
  expandedBytesMax: 1024 * 1024 * 1024,
  /** Unpacked bytes for one packed byte; weights pack to a half, text to a twentieth. */
  ratioMax: 200,
  /** An archive that unpacks to less may have any ratio (bytes). */
  ratioFreeBytes: 16 * 1024 * 1024,
} as const;

/** Files of an upload by their paths. */
export type UploadFiles = ReadonlyMap<string, SpooledFile>;

export function invalidArchive(what: string, cause?: unknown): AppError {
  return new AppError('invalid_archive', `The archive ${what}.`, { cause });
}

function tooLarge(what: string): AppError {
  return new AppError('archive_too_large', `The archive ${what}.`);
}

/** Collects the entries of an archive of `packedBytes` and holds them to the bounds. */
export type ArchiveSink = {
  /** Counts an entry that is no file. */
  skip(): void;
  /** Keeps a file. @throws AppError `invalid_artifact_path`, `archive_too_large`, and what the source throws */
  file(path: string, source: AsyncIterable<Buffer>): Promise<void>;
  /** The files, none of which lies in another. @throws AppError `invalid_artifact_path`, `invalid_archive` */
  files(): UploadFiles;
};

export function createArchiveSink(area: SpoolArea, packedBytes: number): ArchiveSink {
  const { filesMax, entriesMax, expandedBytesMax, ratioMax, ratioFreeBytes } = archiveLimits;
  const bytesMax = Math.min(expandedBytesMax, Math.max(ratioFreeBytes, packedBytes * ratioMax));
  const kept = new Map<string, SpooledFile>();
  let left = bytesMax;
  let entries = 0;

  const overBytes = (): AppError =>
    tooLarge(
      bytesMax === expandedBytesMax
        ? `unpacks to more than ${expandedBytesMax} bytes`
        : `of ${packedBytes} bytes unpacks to more than ${bytesMax}, over ${ratioMax} times its size`,
    );

  function skip(): void {
    entries += 1;
    if (entries > entriesMax) throw tooLarge(`has more than ${entriesMax} entries`);
  }

  return {
    skip,
    async file(path, source) {
      skip();
      assertArtifactPath(path);
      // and nothing that another reader could take for a way out of the folder
      artifactPath(path);
      if (kept.has(path))
        throw new AppError('invalid_artifact_path', `The archive has ${JSON.stringify(path)} twice.`);
      if (kept.size >= filesMax) throw tooLarge(`has more than ${filesMax} files`);
      const file = await area.add(source, left, overBytes);
      left -= file.sizeBytes;
      kept.set(path, file);
    },
    files() {
      if (kept.size === 0) throw invalidArchive('holds no file');
      for (const path of kept.keys())
        for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1))
          if (kept.has(path.slice(0, at)))
            throw new AppError('invalid_artifact_path', `${JSON.stringify(path)} lies in a file.`);
      return kept;
    },
  };
}
