import { AppError } from '@millrace/contracts';
import { assertArtifactPath } from '@millrace/integrity';
import { PARTS_MAX } from '@millrace/storage';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { PartFile } from './part-upload.columns.ts';

const MIB = 1024 * 1024;
/** What the object store takes as a part that is not the last one (bytes). */
const PART_BYTES_MIN = 5 * MIB;
/** A part is sent again as a whole when its connection breaks (bytes). */
const PART_BYTES_MAX = 128 * MIB;
/** Parts of an upload, as many as one file may have: the list of their digests stays under a megabyte. */
export const UPLOAD_PARTS_MAX = PARTS_MAX;
/** What so many parts of the largest size hold (bytes). */
const FILE_BYTES_MAX = UPLOAD_PARTS_MAX * PART_BYTES_MAX;

/** A file as its sender describes it before it is sent. */
export const PartFileRequest = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 1024 }),
    sizeBytes: Type.Integer({ minimum: 1, maximum: FILE_BYTES_MAX }),
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    partSizeBytes: Type.Integer({ minimum: PART_BYTES_MIN, maximum: PART_BYTES_MAX }),
    partDigests: Type.Array(Type.String({ pattern: '^[0-9a-f]{64}$' }), {
      minItems: 1,
      maxItems: UPLOAD_PARTS_MAX,
      description: 'SHA-256 of each part, in order; all but the last have partSizeBytes.',
    }),
  },
  { additionalProperties: false },
);
export type PartFileRequest = Static<typeof PartFileRequest>;

/** A part that is to be sent. */
export type PlannedPart = {
  readonly file: PartFile;
  readonly number: number;
  readonly sizeBytes: number;
  readonly sha256: string;
};

/**
 * @throws AppError `invalid_request`, `invalid_artifact_path`, or `payload_too_large` over `bytesMax` or
 * UPLOAD_PARTS_MAX, for files that cannot be one upload
 */
export function assertPlan(files: readonly PartFileRequest[], bytesMax: number): void {
  const names = new Set<string>();
  let sizeBytes = 0;
  let parts = 0;
  for (const file of files) {
    assertArtifactPath(file.name);
    if (names.has(file.name))
      throw new AppError('invalid_artifact_path', `Two files are called ${JSON.stringify(file.name)}.`);
    names.add(file.name);
    const count = Math.ceil(file.sizeBytes / file.partSizeBytes);
    if (file.partDigests.length !== count) {
      throw new AppError(
        'invalid_request',
        `${file.name} has ${file.partDigests.length} part digests, but ${count} parts of ${file.partSizeBytes} bytes.`,
      );
    }
    sizeBytes += file.sizeBytes;
    parts += count;
  }
  if (sizeBytes > bytesMax) {
    throw new AppError('payload_too_large', `The files have over ${bytesMax} bytes together.`, {
      details: { limitBytes: bytesMax },
    });
  }
  if (parts > UPLOAD_PARTS_MAX) {
    throw new AppError(
      'payload_too_large',
      `The files have ${parts} parts; at most ${UPLOAD_PARTS_MAX} are taken, so make them larger.`,
    );
  }
}

/** Parts `from` to `to` of all files, counted through. */
export function plannedParts(files: readonly PartFile[], from: number, to: number): PlannedPart[] {
  return files
    .flatMap((file) =>
      file.partDigests.map((sha256, i) => ({
        file,
        number: i + 1,
        sizeBytes: Math.min(file.partSizeBytes, file.sizeBytes - i * file.partSizeBytes),
        sha256,
      })),
    )
    .slice(from, to);
}
