import type { IncomingMessage } from 'node:http';
import type { BusboyFileStream, BusboyHeaders, BusboyInstance } from '@fastify/busboy';
import { Busboy } from '@fastify/busboy';
import { AppError, isAppError } from '@millrace/contracts';
import type { SpoolArea, SpooledFile } from './spool.ts';
import { openSpoolArea } from './spool.ts';

/** Bytes of one text field; schemas and metadata are small. */
const FIELD_BYTES_MAX = 64 * 1024;
const FIELD_NAME_BYTES_MAX = 64;
const FIELDS_MAX = 16;

/** Names of the parts that hold files, unless a route takes others. */
const FILE_PARTS: ReadonlySet<string> = new Set(['file']);

/** A part `file`, with the name that the sender gave it. */
export type UploadedPart = { readonly name: string; readonly file: SpooledFile };

/** The text fields of an upload by name, and its files, which lie in the area. */
export type UploadForm = {
  readonly fields: ReadonlyMap<string, string>;
  readonly parts: readonly UploadedPart[];
  readonly area: SpoolArea;
};

/** Bounds of a form. */
export type FormLimits = {
  /** Bytes of all files together. */
  readonly filesBytesMax: number;
  readonly filesMax: number;
};

/**
 * Reads a multipart/form-data body of text fields (those of `allowed`) and files (parts of `partNames`), in any order, the files onto
 * disk. The caller disposes of the area. Nothing is left when it throws.
 * @throws AppError `unsupported_media_type`, `invalid_request`, `unknown_field`, `payload_too_large`
 */
export async function readUploadForm(
  request: IncomingMessage,
  allowed: ReadonlySet<string>,
  limits: FormLimits,
  partNames: ReadonlySet<string> = FILE_PARTS,
): Promise<UploadForm> {
  const busboy = openBusboy(request);
  const area = await openSpoolArea();
  const reader = readParts(request, busboy, area, { fields: allowed, parts: partNames }, limits);
  await reader.done;
  const parts = await Promise.all(reader.parts);
  const fault = reader.fault();
  const isWhole = parts.length > 0 && parts.every((part) => part !== undefined);
  if (fault === undefined && isWhole) return { fields: reader.fields, parts, area };
  await area.dispose();
  throw (
    fault ??
    new AppError('invalid_request', 'The form has no part `file`; send the model as -F file=@model.onnx.')
  );
}

function readParts(
  request: IncomingMessage,
  busboy: BusboyInstance,
  area: SpoolArea,
  known: { fields: ReadonlySet<string>; parts: ReadonlySet<string> },
  { filesBytesMax, filesMax }: FormLimits,
) {
  const fields = new Map<string, string>();
  const parts: Promise<UploadedPart | undefined>[] = [];
  let first: AppError | undefined;
  let current: BusboyFileStream | undefined;
  let bytesLeft = filesBytesMax;
  const { promise: done, resolve: end } = Promise.withResolvers<void>();

  /** Keeps the first fault and stops parsing. */
  const fail = (fault: AppError): void => {
    first ??= fault;
    request.unpipe(busboy);
    current?.destroy(first);
    busboy.destroy();
    end();
  };
  const refuse = (message: string): void => fail(new AppError('invalid_request', message));
  const tooLarge = (): AppError =>
    new AppError('payload_too_large', `The model is over the bound of ${filesBytesMax} bytes.`, {
      details: { limitBytes: filesBytesMax },
    });

  async function keep(name: string, stream: BusboyFileStream): Promise<UploadedPart | undefined> {
    try {
      // asked for when its turn comes, for the parts before it count too
      const counted = (async function* () {
        for await (const chunk of stream) {
          bytesLeft -= (chunk as Buffer).length;
          if (bytesLeft < 0) throw tooLarge();
          yield chunk as Buffer;
        }
      })();
      return { name, file: await area.add(counted, filesBytesMax, tooLarge) };
    } catch (error) {
      fail(
        isAppError(error)
          ? error
          : new AppError('invalid_request', 'The file part ends too early.', { cause: error }),
      );
      return undefined;
    }
  }

  busboy.on('field', (name, value, isNameCut, isValueCut) => {
    if (isNameCut || !known.fields.has(name)) return fail(unknownField(name, known.fields));
    if (isValueCut) return refuse(`The field ${name} is over ${FIELD_BYTES_MAX} bytes.`);
    if (fields.has(name)) return refuse(`The field ${name} comes twice.`);
    fields.set(name, value);
  });
  busboy.on('file', (name, stream, fileName) => {
    // an error before anybody reads the part must not end the process
    stream.on('error', () => undefined);
    if (!known.parts.has(name)) fail(unknownField(name, known.parts));
    if (parts.length >= filesMax) refuse(`The form has more than ${filesMax} files.`);
    // what was in hand when the first fault came is still parsed
    if (first !== undefined) return void stream.destroy();
    current = stream;
    parts.push(keep(fileName ?? '', stream));
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
  return { fields, parts, done, fault: () => first };
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
