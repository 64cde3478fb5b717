import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import { AppError } from '@millrace/contracts';
import type { MemoryPool } from '../../http/memory-pool.ts';

/** Bytes before each message: a flag that says whether it is compressed, and its length. */
export const PREFIX_BYTES = 5;
/** The prefix and `bytes` as they go on the wire. */
export function framed(bytes: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(PREFIX_BYTES + bytes.byteLength);
  message[0] = 0;
  message.writeUInt32BE(bytes.byteLength, 1);
  message.set(bytes, PREFIX_BYTES);
  return message;
}

/** Tensors begin at multiples of this, so that they can be viewed in place. */
const ALIGNMENT = 8;

/** A message, still compressed when the flag says so. */
export type Message = {
  readonly bytes: Buffer;
  readonly isCompressed: boolean;
  /** Gives its memory back: neither `bytes` nor a view of them may be used after it. */
  release(): void;
};

/** Bytes of messages that all calls of the server hold. */
export type ByteBudget = {
  /** False when it is spent. */
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
};

/** A bound on what clients can make the server hold at once (bytes). */
export function createByteBudget(bytesMax: number): ByteBudget {
  let held = 0;
  return {
    take(bytes) {
      if (held > 0 && held + bytes > bytesMax) return false;
      held += bytes;
      return true;
    },
    giveBack(bytes) {
      held -= bytes;
    },
  };
}

export type MessageLimits = {
  /** Largest message (bytes). */
  readonly messageBytesMax: number;
  readonly budget: ByteBudget;
  readonly pool: MemoryPool;
  /** Where the part of a message begins that is to be aligned; `beginning` is what of it has come. */
  readonly alignAt: (beginning: Buffer) => number;
};

/** Puts the pieces that a stream delivers together to messages, each in one piece of memory. */
export class MessageReader {
  private readonly limits: MessageLimits;
  private readonly onMessage: (message: Message) => void;
  /** Of a prefix of which not all has come. */
  private head: Buffer | undefined;
  /** A message of which not all has come. */
  private whole: Message | undefined;
  private received = 0;

  constructor(limits: MessageLimits, onMessage: (message: Message) => void) {
    this.limits = limits;
    this.onMessage = onMessage;
  }

  /** Takes a piece. Throws `payload_too_large`, `queue_full` or `invalid_request`. */
  push(piece: Buffer): void {
    let rest = piece;
    while (rest.length > 0) rest = this.whole === undefined ? this.begin(rest) : this.fill(this.whole, rest);
  }

  /** Whether nothing of another message has come. */
  isBetween(): boolean {
    return this.head === undefined && this.whole === undefined;
  }

  /** Gives back the memory of a message that will not become whole. */
  abandon(): void {
    this.whole?.release();
    this.whole = undefined;
  }

  /** Checks the prefix of a message and takes its bytes from the budget. */
  private admit(flag: number, length: number): void {
    const { messageBytesMax, budget } = this.limits;
    if (flag > 1) throw new AppError('invalid_request', 'A message begins with neither 0 nor 1.');
    if (length > messageBytesMax) {
      const text = `The message has ${length} bytes; at most ${messageBytesMax} go in one.`;
      throw new AppError('payload_too_large', text, { details: { limitBytes: messageBytesMax } });
    }
    if (budget.take(length)) return;
    throw new AppError(
      'queue_full',
      'The messages in hand take all the memory there is for them; try again.',
    );
  }

  private begin(piece: Buffer): Buffer {
    const bytes = this.head === undefined ? piece : Buffer.concat([this.head, piece]);
    this.head = undefined;
    if (bytes.length < PREFIX_BYTES) {
      this.head = bytes;
      return bytes.subarray(bytes.length);
    }
    const flag = bytes[0] as number;
    const length = bytes.readUInt32BE(1);
    this.admit(flag, length);
    const isCompressed = flag === 1;
    const end = PREFIX_BYTES + length;
    const { budget, pool, alignAt } = this.limits;
    if (bytes.length >= end) {
      const release = (): void => budget.giveBack(length);
      this.onMessage({ bytes: bytes.subarray(PREFIX_BYTES, end), isCompressed, release });
      return bytes.subarray(end);
    }
    const beginning = bytes.subarray(PREFIX_BYTES);
    const pad = isCompressed ? 0 : (ALIGNMENT - (alignAt(beginning) % ALIGNMENT)) % ALIGNMENT;
    const memory = pool.lease();
    const release = (): void => {
      budget.giveBack(length);
      memory.release();
    };
    this.whole = { bytes: Buffer.from(memory.take(length + pad), pad, length), isCompressed, release };
    this.received = 0;
    return this.fill(this.whole, beginning);
  }

  private fill(whole: Message, piece: Buffer): Buffer {
    const taken = piece.copy(whole.bytes, this.received);
    this.received += taken;
    if (this.received === whole.bytes.length) {
      this.whole = undefined;
      this.onMessage(whole);
    }
    return piece.subarray(taken);
  }
}

const unzip = { gzip: promisify(gunzip), deflate: promisify(inflate) };

/**
 * The bytes of a message, inflated if they are compressed with the `grpc-encoding` of the call. Throws
 * `invalid_request`, `unsupported_media_type` or `payload_too_large`.
 */
export async function plainBytes(
  message: Message,
  encoding: string | string[] | undefined,
  bytesMax: number,
): Promise<Buffer> {
  if (!message.isCompressed) return message.bytes;
  if (encoding !== 'gzip' && encoding !== 'deflate') {
    throw new AppError('unsupported_media_type', 'grpc-encoding must be identity, gzip or deflate.');
  }
  try {
    return await unzip[encoding](message.bytes, { maxOutputLength: bytesMax });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new AppError('payload_too_large', `The message inflates to more than ${bytesMax} bytes.`);
    }
    throw new AppError('invalid_request', `The message is not valid ${encoding}.`, { cause });
  }
}
