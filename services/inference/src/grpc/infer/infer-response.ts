import { AppError } from '@millrace/contracts';
import { protocolName } from '../../tensors/dtype.ts';
import type { Tensor } from '../../tensors/tensor.ts';
import { binaryOf } from '../../v2/infer-tensors.ts';
import type { Message } from '../transport/message-reader.ts';
import { framed, PREFIX_BYTES } from '../transport/message-reader.ts';
import { varintBytes, WireWriter } from '../wire-writer.ts';
import { hasContents, writeContents } from './contents.ts';
import { readInferRequest } from './infer-request.ts';

/** Longest message that the prefix can announce. */
const MESSAGE_BYTES_MAX = 0xffff_ffff;

export type ResponseHead = { model: string; ordinal: number; id: string };

/** Heads are written and copied without a pause, so one writer does for all. */
const scratch = new WireWriter();

/** Writes the head: names, types and shapes of the outputs, with the values in `contents` unless they go raw. */
function writeHead(head: ResponseHead, outputs: readonly Tensor[], isRaw: boolean): Buffer {
  const writer = scratch;
  writer.clear();
  writer.text(1, head.model);
  writer.text(2, String(head.ordinal));
  if (head.id !== '') writer.text(3, head.id);
  for (const tensor of outputs) {
    writer.packed(5, (output) => {
      output.text(1, tensor.name);
      output.text(2, protocolName(tensor.dtype));
      output.packed(3, (shape) => tensor.shape.forEach((size) => void shape.whole(size)));
      if (!isRaw) output.packed(5, (contents) => writeContents(contents, tensor));
    });
  }
  return writer.written();
}

/**
 * A ModelInferResponse with the prefix that goes before it, or the same within the `infer_response` of a
 * ModelStreamInferResponse. Outputs go raw when the request did, or when one of them has no typed form.
 */
export function writeInferResponse(
  head: ResponseHead,
  outputs: readonly Tensor[],
  options: { isRaw: boolean; isStreamed: boolean },
): Buffer {
  const isRaw = options.isRaw || !outputs.every(({ dtype }) => hasContents(dtype));
  const start = writeHead(head, outputs, isRaw);
  const raw = isRaw ? outputs.map(binaryOf) : [];
  const length = raw.reduce(
    (total, bytes) => total + 1 + varintBytes(bytes.byteLength) + bytes.byteLength,
    start.length,
  );
  const outer = options.isStreamed ? 1 + varintBytes(length) : 0;
  if (outer + length > MESSAGE_BYTES_MAX) {
    throw new AppError('payload_too_large', `The answer has ${length} bytes; ask for fewer rows or outputs.`);
  }
  const message = Buffer.allocUnsafe(PREFIX_BYTES + outer + length);
  message[0] = 0;
  message.writeUInt32BE(outer + length, 1);
  let at = PREFIX_BYTES;
  const header = (tag: number, size: number): void => {
    message[at++] = tag;
    let rest = size;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) message[at++] = (rest % 0x80) | 0x80;
    message[at++] = rest;
  };
  if (options.isStreamed) header(0x12, length);
  at += start.copy(message, at);
  for (const bytes of raw) {
    header(0x32, bytes.byteLength);
    message.set(bytes, at);
    at += bytes.byteLength;
  }
  return message;
}

/** The id of a request that failed, as far as it can be read. */
function idOf(message: Message): string {
  try {
    return message.isCompressed ? '' : readInferRequest(message.bytes).id;
  } catch {
    return '';
  }
}

/** A ModelStreamInferResponse that tells of a failed request: its text, id and stable code. */
export function writeStreamError(error: AppError, message: Message): Buffer {
  const id = idOf(message);
  const writer = new WireWriter();
  writer.text(1, error.message);
  writer.packed(2, (response) => {
    if (id !== '') response.text(3, id);
    response.packed(4, (entry) => {
      entry.text(1, 'millrace-code');
      entry.packed(2, (value) => value.text(3, error.code));
    });
  });
  return framed(writer.written());
}
