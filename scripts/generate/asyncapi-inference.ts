import { INFER_HEADER } from '@millrace/bus';
import type { Channel } from './asyncapi.ts';
import type { Schema } from './schemas.ts';

const KEY = 'rpc.infer';
const REPLY = 'InferenceAnswer';

const text = (description: string): Schema => ({ type: 'string', description });
const jsonBytes = {
  [INFER_HEADER.jsonBytes]: text('Bytes of the JSON in front of binary tensors; without it all is JSON.'),
};

/** Inference requests that are answered later, and their answers. */
export function inferJobChannels(): Channel[] {
  return [
    {
      key: 'infer-request',
      address: 'millrace.infer.{lane}.{modelId}',
      message: 'InferenceRequest',
      doc: 'A request that is answered later, in the mailbox it names; its message id, a UUID, is the id of the request.',
      stream: 'inferRequests',
      extra: { 'x-consumer': { durable: 'inference-infer-{lane}', ackPolicy: 'explicit', mode: 'pull' } },
    },
    {
      key: 'infer-result',
      address: 'millrace.result.{mailbox}.{requestId}',
      message: REPLY,
      doc: 'The answer to such a request, stored once.',
      stream: 'inferResults',
    },
  ];
}

/** The subject that answers at once; `toChannel` gives a channel its form. */
export function inferChannel(toChannel: (channel: Channel) => Schema) {
  const request: Channel = {
    key: KEY,
    address: 'millrace.rpc.inference.infer.{modelId}',
    message: 'InferenceRequest',
    doc: 'Asks a model; the reply comes when it ran.',
  };
  return {
    channel: [KEY, toChannel(request)] as [string, Schema],
    replyChannel: [
      `${KEY}.reply`,
      {
        address: null,
        description: 'The inbox of the caller.',
        messages: { [REPLY]: { $ref: `#/components/messages/${REPLY}` } },
      },
    ] as [string, Schema],
    operation: [
      'call.infer',
      {
        action: 'send',
        channel: { $ref: `#/channels/${KEY}` },
        reply: { channel: { $ref: `#/channels/${KEY}.reply` } },
      },
    ] as [string, Schema],
  };
}

/** The messages: bodies of the Open Inference Protocol, which JSON Schema cannot say where tensors are binary. */
export function inferMessages(): Schema {
  const headersOf = (properties: Schema): Schema => ({ type: 'object', properties });
  return {
    InferenceRequest: {
      name: 'InferenceRequest',
      summary:
        'Open Inference Protocol v2, as the body of /v2/models/{model}/infer; may name a model_version.',
      headers: headersOf({
        ...jsonBytes,
        [INFER_HEADER.deadline]: { ...text('When nobody waits any more.'), format: 'date-time' },
        [INFER_HEADER.priority]: text('1 is run first; only where the answer comes at once.'),
        [INFER_HEADER.replyTo]: text('millrace.result.<mailbox>, where the answer comes later.'),
      }),
    },
    [REPLY]: {
      name: REPLY,
      summary: 'The answer of the protocol, or {"error": {"code", "message"}}.',
      headers: headersOf({
        ...jsonBytes,
        [INFER_HEADER.code]: text('Code of the catalogue; only errors have it.'),
      }),
    },
  };
}
