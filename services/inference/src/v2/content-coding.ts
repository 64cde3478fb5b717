import { promisify } from 'node:util';
import { constants, deflate, gunzip, gzip, inflate } from 'node:zlib';
import { AppError } from '@millrace/contracts';
import type { InferReply } from './infer-reply.ts';

const unzip = { gzip: promisify(gunzip), deflate: promisify(inflate) };
const zip = { gzip: promisify(gzip), deflate: promisify(deflate) };
export type Coding = keyof typeof zip;

/** Answers below this are sent as they are (bytes). */
const ZIP_BYTES_MIN = 8 * 1024;
/** A compressed answer must be smaller than this share of the plain one. */
const ZIP_SHARE_MAX = 0.9;
/** The fastest level: most of the gain for a fraction of the time. */
const LEVEL = constants.Z_BEST_SPEED;

/**
 * The body without its content coding. Throws `unsupported_media_type`, `payload_too_large` when it inflates to more than
 * `bytesMax`, or `invalid_request`.
 */
export async function decodeBody(
  body: Buffer,
  encoding: string | undefined,
  bytesMax: number,
): Promise<Buffer> {
  if (encoding === undefined || encoding === 'identity') return body;
  if (encoding !== 'gzip' && encoding !== 'deflate') {
    throw new AppError('unsupported_media_type', 'Content-Encoding must be gzip or deflate.');
  }
  try {
    return await unzip[encoding](body, { maxOutputLength: bytesMax });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new AppError('payload_too_large', `The body inflates to more than ${bytesMax} bytes.`);
    }
    throw new AppError('invalid_request', `The body is not valid ${encoding}.`, { cause });
  }
}

/** The codings that `Accept-Encoding` allows, in its order. */
function acceptedCodings(header: string): string[] {
  return header
    .split(',')
    .map((part) =>
      part
        .trim()
        .toLowerCase()
        .split(/\s*;\s*/),
    )
    .filter(([, quality]) => quality === undefined || Number(quality.replace(/^q=/, '')) > 0)
    .map(([name]) => name ?? '');
}

/**
 * The coding that is worth the time for an answer: JSON of some size for whoever takes it; numbers in binary shrink
 * little, so those only for a client that names one coding and no other.
 */
export function codingFor(reply: InferReply, accept: string | undefined): Coding | undefined {
  if (accept === undefined || reply.body.length < ZIP_BYTES_MIN) return undefined;
  const accepted = acceptedCodings(accept);
  if (reply.jsonBytes !== undefined && accepted.length > 1) return undefined;
  if (accepted.includes('gzip')) return 'gzip';
  return accepted.includes('deflate') ? 'deflate' : undefined;
}

/** The compressed answer; undefined when it would save little. */
export async function compress(body: string | Buffer, coding: Coding): Promise<Buffer | undefined> {
  const plain = typeof body === 'string' ? Buffer.from(body) : body;
  const zipped = await zip[coding](plain, { level: LEVEL });
  return zipped.length <= plain.length * ZIP_SHARE_MAX ? zipped : undefined;
}
