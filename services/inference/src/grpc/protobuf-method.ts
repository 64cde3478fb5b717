import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AppError } from '@millrace/contracts';
import type { Call } from './transport/call.ts';
import type { Method } from './transport/grpc-server.ts';
import { framed } from './transport/message-reader.ts';
import { malformed } from './wire-reader.ts';

/** Requests that carry no tensors name a model at most (bytes). */
export const CONTROL_BYTES_MAX = 64 * 1024;

type Rpc<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly input: I;
  readonly output: O;
};

/** Where a method is found on the wire. */
export function pathOf(rpc: DescMethod): string {
  return `/${rpc.parent.typeName}/${rpc.name}`;
}

/** A message of bytes. Throws `payload_too_large` or `invalid_request`. */
export function readMessage<I extends DescMessage>(schema: I, bytes: Uint8Array): MessageShape<I> {
  if (bytes.byteLength > CONTROL_BYTES_MAX) {
    throw new AppError(
      'payload_too_large',
      `The message has ${bytes.byteLength} bytes; this method takes at most ${CONTROL_BYTES_MAX}.`,
    );
  }
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : String(cause));
  }
}

/** A message as it goes on the wire, its prefix included. */
export function writeMessage<O extends DescMessage>(schema: O, value: MessageInitShape<O>): Buffer {
  return framed(toBinary(schema, create(schema, value)));
}

/** A method that takes and gives one small message each, by its descriptor. */
export function unaryMethod<I extends DescMessage, O extends DescMessage>(
  rpc: Rpc<I, O>,
  scope: Method['scope'],
  handle: (request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>,
): [path: string, method: Method] {
  return [
    pathOf(rpc),
    {
      kind: 'unary',
      scope,
      handle: async (bytes, call) =>
        writeMessage(rpc.output, await handle(readMessage(rpc.input, bytes), call)),
    },
  ];
}
