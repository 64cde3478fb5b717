import type { IncomingMessage } from 'node:http';
import type { BusboyFileStream, BusboyHeaders, BusboyInstance } from '@fastify/busboy';
import { Busboy } from '@fastify/busboy';
import { AppError, isAppError } from '@millrace/contracts';
import type { SpooledFile } from './spool.ts';
import { spoolFile } from './spool.ts';

/** Bytes of one text field; schemas and metadata are small. */
const FIELD_BYTES_MAX = 64 * 1024;
const FIELD_NAME_BYTES_MAX = 64;
const FIELDS_MAX = 16;
/** What is still received of a body that was refused; a longer one is cut off. */
const DISCARD_BYTES_MAX = 16 * 1024 * 1024;
const DISCARD_TIMEOUT_MS = 5_000;

/** The text fields of an upload by name, and its file. */
export type UploadForm = { readonly fields: ReadonlyMap<string, string>; readonly file: SpooledFile };

/**
 * Reads a multipart/form-data body of text fields (those of `allowed`) and one file part `file`, in any order, the file
 * onto disk. The caller disposes of the file. Nothing is left when it throws.
 * @throws AppError `unsupported_media_type`, `invalid_request`, `unknown_field`, `payload_too_large`
 */
export async function readUploadForm(
  request: IncomingMessage,
  allowed: ReadonlySet<string>,
  fileBytesMax: number,
): Promise<UploadForm> {
  const reader = createReader(request, allowed, fileBytesMax);
  await reader.done;
  if (reader.fault() !== undefined) await discardRest(request);
  const file = await reader.file();
  const fault = reader.fault();
  if (fault === undefined && file !== undefined) return { fields: reader.fields, file };
  await file?.dispose();
  throw (
    fault ??
    new AppError('invalid_request', 'The form has no part `file`; send the model as -F file=@model.onnx.')
  );
}

function createReader(request: IncomingMessage, allowed: ReadonlySet<string>, fileBytesMax: number) {
  const busboy = openBusboy(request);
  const fields = new Map<string, string>();
  let first: AppError | undefined;
  let part: BusboyFileStream | undefined;
  let spooled: Promise<SpooledFile | undefined> = Promise.resolve(undefined);
  const { promise: done, resolve: end } = Promise.withResolvers<void>();

  /** Keeps the first fault and stops parsing. */
  const fail = (fault: AppError): void => {
    first ??= fault;
    request.unpipe(busboy);
    part?.destroy(first);
    busboy.destroy();
    end();
  };
  const refuse = (message: string): void => fail(new AppError('invalid_request', message));

  busboy.on('field', (name, value, isNameCut, isValueCut) => {
    if (isNameCut || !allowed.has(name)) return fail(unknownField(name, allowed));
    if (isValueCut) return refuse(`The field ${name} is over ${FIELD_BYTES_MAX} bytes.`);
    if (fields.has(name)) return refuse(`The field ${name} comes twice.`);
    fields.set(name, value);
  });
  busboy.on('file', (name, stream) => {
    // an error before anybody reads the part must not end the process
    stream.on('error', () => undefined);
    if (name !== 'file') fail(unknownField(name, new Set(['file'])));
    if (part !== undefined) refuse('The form has two files; send one model file.');
    // what was in hand when the first fault came is still parsed
    if (first !== undefined) return void stream.destroy();
    part = stream;
    spooled = spoolFile(stream, fileBytesMax).catch((error: unknown) => {
      fail(
        isAppError(error)
          ? error
          : new AppError('invalid_request', 'The file part ends too early.', { cause: error }),
      );
      return undefined;
    });
  });
  busboy.on('fieldsLimit', () => refuse(`The form has more than ${FIELDS_MAX} fields.`));
  busboy.on('finish', end);
  busboy.on('error', (cause: unknown) => {
    const message = 'The multipart body is malformed or ends too early; nothing was kept.';
    fail(new AppError('invalid_request', message, { cause }));
  });
  request.on('close', () => {
    if (!request.complete) refuse('The upload was cut off; nothing was kept.');
  });
  request.pipe(busboy);
  return { fields, done, file: () => spooled, fault: () => first };
}

/** Lets the sender finish a body that was refused, within bounds: many clients read the answer only then. */
async function discardRest(request: IncomingMessage): Promise<void> {
  let left = DISCARD_BYTES_MAX;
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  const timer = setTimeout(end, DISCARD_TIMEOUT_MS);
  const count = (chunk: Buffer): void => {
    left -= chunk.length;
    if (left < 0) end();
  };
  request.on('data', count).once('end', end).once('close', end);
  if (!request.complete && !request.destroyed) await over;
  clearTimeout(timer);
  request.off('data', count).pause();
}

function openBusboy(request: IncomingMessage): BusboyInstance {
  try {
    return new Busboy({
      headers: request.headers as BusboyHeaders,
      limits: { fieldSize: FIELD_BYTES_MAX, fieldNameSize: FIELD_NAME_BYTES_MAX, fields: FIELDS_MAX },
    });
  } catch (cause) {
    throw new AppError('unsupported_media_type', 'Send the model as multipart/form-data with a boundary.', {
      cause,
    });
  }
}

function unknownField(name: string, allowed: ReadonlySet<string>): AppError {
  const shown = JSON.stringify(name.slice(0, FIELD_NAME_BYTES_MAX));
  return new AppError(
    'unknown_field',
    `The form has an unknown field ${shown}; known are ${[...allowed].join(', ')}.`,
  );
}
