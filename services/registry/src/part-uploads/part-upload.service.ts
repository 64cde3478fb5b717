import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import type { PartFile, PartFileRequest, PartUploadRepository } from '@millrace/uploads';
import { createPartTransfer, createPartUploads } from '@millrace/uploads';
import { UPLOADS_FOLDER } from '../collection/orphans.ts';
import type { UploadedPart } from '../uploads/multipart.ts';
import type { SpoolArea } from '../uploads/spool.ts';
import { openSpoolArea } from '../uploads/spool.ts';
import type { Uploader, UploadOutcome, UploadService } from '../uploads/upload.service.ts';
import { readUploadFields } from '../uploads/upload-fields.ts';
import type { PartUploadRow } from './part-upload.table.ts';

/** Bytes of all files of an upload: they pass through a temporary file once. */
const UPLOAD_BYTES_MAX = 16 * 1024 ** 3;

export type PartUploadService = ReturnType<typeof createPartUploadService>;

/** Models whose files go straight to the object store in parts, and then the way of every upload. */
export function createPartUploadService(options: {
  database: Database;
  partUploads: PartUploadRepository<PartUploadRow>;
  storage: Storage;
  uploads: UploadService;
  logger: { warn(fields: object, message: string): void };
}) {
  const { database, partUploads, storage, uploads, logger } = options;

  /** Reads a file back into the area. Throws `checksum_mismatch` unless it is the one that was announced. */
  async function readBack(file: PartFile, area: SpoolArea): Promise<UploadedPart> {
    const mismatch = (what: string) =>
      new AppError('checksum_mismatch', `${file.name} ${what}; upload it again.`);
    const stream = await storage.readObject(file.key);
    const spooled = await area.add(stream, file.sizeBytes, () =>
      mismatch(`has over ${file.sizeBytes} bytes`),
    );
    if (spooled.sha256 !== file.sha256)
      throw mismatch(`has SHA-256 ${spooled.sha256} instead of ${file.sha256}`);
    return { name: file.name, file: spooled };
  }

  async function takeIn(row: PartUploadRow, by: Uploader): Promise<Partial<PartUploadRow>> {
    const fields = new Map(Object.entries(row.fields));
    const area = await openSpoolArea();
    try {
      const parts: UploadedPart[] = [];
      for (const file of row.files) parts.push(await readBack(file, area));
      return outcomeOf(await uploads.upload(readUploadFields(fields), { fields, parts, area }, by, true));
    } finally {
      await area.dispose();
    }
  }

  const engine = createPartUploads<PartUploadRow, Uploader>({
    database,
    rows: partUploads,
    transfer: createPartTransfer(storage, UPLOADS_FOLDER),
    bytesMax: UPLOAD_BYTES_MAX,
    takeIn,
    logger,
  });

  return {
    ...engine,

    /** Begins an upload. @throws AppError those of the fields and the files, `upload_limit_reached` */
    async begin(
      fields: Readonly<Record<string, string>>,
      files: readonly PartFileRequest[],
      by: Uploader,
    ): Promise<PartUploadRow> {
      readUploadFields(new Map(Object.entries(fields)));
      const row = await engine.create(files, by, { fields });
      if (row === undefined) throw new AppError('internal', 'An upload was not inserted.');
      return row;
    },
  };
}

function outcomeOf(outcome: UploadOutcome): Partial<PartUploadRow> {
  if ('importing' in outcome)
    return { modelVersionId: null, importId: outcome.importing.id, isReused: false };
  const { version, isReused } = outcome.registered;
  return { modelVersionId: version.id, importId: null, isReused };
}
