import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { BusboyFileStream, BusboyHeaders } from '@fastify/busboy';
import { Busboy } from '@fastify/busboy';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { artifactPathFault } from '@millrace/integrity';

/** Files of one upload. */
export const MAX_UPLOAD_FILES = 1_000;
/** Bytes of one uploaded file. */
export const MAX_UPLOAD_FILE_BYTES = 4 * 1024 * 1024 * 1024;

type Store = (file: Readable) => Promise<{ sha256: string; sizeBytes: number }>;

/**
 * Reads a multipart/form-data body whose file parts carry the path as their filename and stores each as it streams.
 * @throws AppError `unsupported_media_type`, `invalid_request`, `payload_too_large`
 */
export async function readUpload(request: IncomingMessage, store: Store): Promise<ArtifactRef[]> {
  const contentType = request.headers['content-type'] ?? '';
  if (!contentType.startsWith('multipart/form-data')) {
    throw new AppError(
      'unsupported_media_type',
      'Send the files as multipart/form-data, each with its path as filename.',
    );
  }
  const files: Promise<ArtifactRef>[] = [];
  let firstFault: AppError | undefined;
  const busboy = new Busboy({
    headers: request.headers as BusboyHeaders,
    preservePath: true,
    limits: { files: MAX_UPLOAD_FILES, fields: 0, fileSize: MAX_UPLOAD_FILE_BYTES, parts: MAX_UPLOAD_FILES },
  });
  const reject = (file: BusboyFileStream, fault: AppError): void => {
    firstFault ??= fault;
    file.resume();
  };
  await new Promise<void>((resolve, fail) => {
    busboy.on('file', (_field, file: BusboyFileStream, path) => {
      // one that ends too early fails the whole body too; its own error must not end the process
      file.on('error', () => undefined);
      const fault = artifactPathFault(path);
      if (fault !== undefined)
        return reject(file, new AppError('invalid_request', `The filename '${path}' ${fault}.`));
      const stored = store(file).then((blob) => {
        if (file.truncated)
          throw new AppError('payload_too_large', `${path} is over ${MAX_UPLOAD_FILE_BYTES} bytes.`);
        return { path, ...blob };
      });
      stored.catch(() => file.resume());
      files.push(stored);
    });
    busboy.on('filesLimit', () => {
      firstFault ??= new AppError(
        'payload_too_large',
        `An upload has at most ${MAX_UPLOAD_FILES} files; send an archive.`,
      );
    });
    busboy.on('finish', resolve);
    busboy.on('error', (cause) =>
      fail(new AppError('invalid_request', 'The multipart body is malformed.', { cause })),
    );
    request.on('aborted', () =>
      fail(new AppError('invalid_request', 'The upload was cut off; nothing was kept.')),
    );
    request.pipe(busboy);
  });
  const refs = await Promise.all(files);
  if (firstFault !== undefined) throw firstFault;
  if (refs.length === 0) throw new AppError('invalid_request', 'The upload has no file.');
  return refs;
}
