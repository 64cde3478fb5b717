import type { IncomingMessage } from 'node:http';
import { AppError } from '@millrace/contracts';
import type { BodyMemory } from '@millrace/service-kit';
import { takeAligned } from '@millrace/service-kit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { MemoryPool } from './memory-pool.ts';

/** Memory that a body of unknown length begins with (bytes). */
const UNANNOUNCED_BYTES = 64 * 1024;

/** A body as bytes, and the memory of its request; release it when the request is done. */
export type Body = { readonly bytes: Buffer; readonly memory: BodyMemory };

function tooLarge(limitBytes: number): AppError {
  return new AppError('payload_too_large', `The body is over the bound of this route, ${limitBytes} bytes.`, {
    details: { limitBytes },
  });
}

function announcedLength(request: FastifyRequest): number | undefined {
  const text = request.headers['content-length'];
  if (text === undefined || request.headers['content-encoding'] !== undefined) return undefined;
  return Number(text);
}

/**
 * Reads a body into one piece of memory: as long as announced, or grown chunk by chunk.
 * Throws `payload_too_large`, or `invalid_request` when the connection ends early.
 */
export function readBody(
  request: FastifyRequest,
  payload: IncomingMessage,
  limitBytes: number,
  memory: BodyMemory,
): Promise<Buffer> {
  const announced = announcedLength(request);
  if (announced !== undefined && announced > limitBytes) return Promise.reject(tooLarge(limitBytes));
  const header = Number(request.headers['inference-header-content-length'] ?? 0);
  const jsonBytes = Number.isSafeInteger(header) && header >= 0 ? header : 0;
  let whole = takeAligned(memory, announced ?? UNANNOUNCED_BYTES, jsonBytes);
  let received = 0;

  /** Chunks are copied out at once: kept, millions of a byte each would take a hundred times their size. */
  function makeRoom(needed: number): void {
    const larger = takeAligned(memory, Math.min(limitBytes, Math.max(needed, whole.length * 2)), jsonBytes);
    whole.copy(larger, 0, 0, received);
    whole = larger;
  }
  return new Promise((resolve, reject) => {
    payload.on('data', (chunk: Buffer) => {
      if (received + chunk.length > limitBytes) return reject(tooLarge(limitBytes));
      if (announced === undefined && received + chunk.length > whole.length)
        makeRoom(received + chunk.length);
      chunk.copy(whole, received);
      received += chunk.length;
    });
    payload.on('error', (cause) =>
      reject(new AppError('invalid_request', 'The body did not arrive whole.', { cause })),
    );
    payload.on('end', () => {
      if (announced === undefined) return resolve(whole.subarray(0, received));
      if (received === whole.length) return resolve(whole);
      reject(
        new AppError('invalid_request', `The body has ${received} bytes, not the ${whole.length} announced.`),
      );
    });
  });
}

/** Gives the routes of `scope` their bodies as bytes, for the content types named. */
export function takeBodiesAsBytes(
  scope: FastifyInstance,
  types: string[] | '*',
  limitBytes: number,
  pool: MemoryPool,
): void {
  scope.removeAllContentTypeParsers();
  const read = async (request: FastifyRequest, payload: IncomingMessage): Promise<Body> => {
    const memory = pool.lease();
    return { bytes: await readBody(request, payload, limitBytes, memory), memory };
  };
  scope.addContentTypeParser(types as string[], { bodyLimit: limitBytes }, read);
}
